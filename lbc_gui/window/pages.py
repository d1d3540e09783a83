"""The pages in the middle of the window. Only the first is on screen when the window opens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QTabWidget, QWidget

from lbc.config import Experiment
from lbc_gui.run.view_state import ViewState
from lbc_gui.scores.score_view import ScoreView
from lbc_gui.widgets.layouts import column, splitter
from lbc_gui.widgets.panel_title import FoldingPanel

if TYPE_CHECKING:  # at run time they are imported behind the first paint
    from lbc_gui.curves.curves_panel import CurvesPanel
    from lbc_gui.inspector.inspector_page import InspectorPage
    from lbc_gui.latency.latency_page import LatencyPage
    from lbc_gui.library.library_page import LibraryPage
    from lbc_gui.masks.mask_view import MaskView

LOWEST_PICTURE = 200
"""Pixels of height that a picture always has."""

CURVES_HEIGHT = 160
LOW = 720
"""Pixels of height below which the curves are folded."""

OTHERS = ("Masks", "Runs", "Inspect", "Latency")


class Pages(QTabWidget):
    """Scores at once; curves are absent and other pages disabled until ``complete`` is called."""

    curves: CurvesPanel
    masks: MaskView
    library: LibraryPage
    inspector: InspectorPage
    latency: LatencyPage

    def __init__(self, scores: ScoreView) -> None:
        super().__init__()
        self.scores = scores
        scores.heatmap.setMinimumHeight(LOWEST_PICTURE)
        self._curves = QWidget()
        self.folding = [FoldingPanel("Curves", self._curves, CURVES_HEIGHT)]
        self._low = False
        first = splitter(Qt.Orientation.Vertical, scores, *self.folding, sizes=[420, CURVES_HEIGHT])
        first.setStretchFactor(0, 1)
        self.addTab(first, "Scores")
        for name in OTHERS:
            self.setTabEnabled(self.addTab(QWidget(), name), False)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Fold what is below the pictures where it would leave too little for the picture."""
        super().resizeEvent(event)
        low = self.height() < LOW
        if low is not self._low:
            self._low = low
            for panel in self.folding:
                panel.title.fold(low)

    def complete(
        self,
        state: ViewState,
        runs: Path,
        experiment: Callable[[], Experiment | None],
        run_folder: Callable[[], Path | None],
        approves: Callable[[Experiment], bool],
    ) -> None:
        """Build the curves and the other pages, which take half of the time of all."""
        from lbc_gui.curves.curves_panel import CurvesPanel
        from lbc_gui.inspector.inspector_page import InspectorPage
        from lbc_gui.latency.latency_page import LatencyPage
        from lbc_gui.library.library_page import LibraryPage
        from lbc_gui.masks.mask_view import MaskView

        self.curves = CurvesPanel(state)
        column(self.curves, on=self._curves)
        self.masks, self.inspector = MaskView(state, runs), InspectorPage()
        self.library = LibraryPage(runs)
        self.latency = LatencyPage(experiment, run_folder, approves)
        self.masks.heatmap.setMinimumHeight(LOWEST_PICTURE)
        for below in (self.masks.below, self.library.below):
            self.folding.append(below)
            below.title.fold(self._low)
        pages = (self.masks, self.library, self.inspector, self.latency)
        for index, (name, page) in enumerate(zip(OTHERS, pages, strict=True), start=1):
            self.removeTab(index)
            self.insertTab(index, page, name)

    @property
    def run_page(self) -> ScoreView | MaskView | None:
        """The page on screen; None if it is not about the run."""
        at = self.currentIndex()
        return (self.scores, self.masks)[at] if at < 2 else None
