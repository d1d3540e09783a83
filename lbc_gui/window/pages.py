"""The pages in the middle of the window. Only the first is on screen when the window opens."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QTabWidget, QWidget

from lbc.config import Experiment
from lbc_gui.run.view_state import ViewState
from lbc_gui.scores.score_view import ScoreView
from lbc_gui.settings import Settings
from lbc_gui.widgets.layouts import column, splitter
from lbc_gui.widgets.panel_title import FoldingPanel
from lbc_gui.widgets.tab_order import order

if TYPE_CHECKING:  # at run time they are imported behind the first paint
    from lbc_gui.comparisons.comparison_page import ComparisonPage
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

PANELS = ("curves", "numbers", "compare")
"""What is below the pictures of pages; folded in a low window."""

OTHERS = ("Masks", "Runs", "Comparison", "Inspect", "Latency")

OF_MOMENT = ("Scores", "Masks")
"""The pages that show a moment of the run, and below them the time slider."""


class Pages(QTabWidget):
    """Scores at once; ``add_curves`` adds the curves below them, and other pages are disabled until
    ``complete`` is called."""

    masks: MaskView
    library: LibraryPage
    comparisons: ComparisonPage
    inspector: InspectorPage
    latency: LatencyPage

    def __init__(self, scores: ScoreView) -> None:
        super().__init__()
        self.scores = scores
        scores.heatmap.setMinimumHeight(LOWEST_PICTURE)
        self._curves = QWidget()
        below = FoldingPanel("Curves", self._curves, CURVES_HEIGHT)
        self.folding = {"curves": below}
        self._low = False
        self._unfolded = {True: set[str](), False: set(PANELS)}
        self._first = splitter(Qt.Orientation.Vertical, scores, below, sizes=[420, CURVES_HEIGHT])
        self._first.setStretchFactor(0, 1)
        self.addTab(self._first, "Scores")
        for name in OTHERS:
            self.setTabEnabled(self.addTab(QWidget(), name), False)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Fold what is below the pictures where it would leave too little for the picture, or as
        it was folded when there was as much height."""
        super().resizeEvent(event)
        low = self.height() < LOW
        if low is not self._low:
            self._note_folding()
            self._low = low
            self._fold(self.folding)

    @property
    def unfolded(self) -> dict[bool, set[str]]:
        """The names of the unfolded panels in a low window (True) and in a higher one."""
        self._note_folding()
        return self._unfolded

    def unfold(self, low: Iterable[str] = (), high: Iterable[str] = PANELS) -> None:
        """Unfold these panels in a low window and in a higher one, and fold the others."""
        self._unfolded = {True: set(low), False: set(high)}
        self._fold(self.folding)

    def _note_folding(self) -> None:
        for name, panel in self.folding.items():
            (set.discard if panel.title.folded else set.add)(self._unfolded[self._low], name)

    def _fold(self, names: Iterable[str]) -> None:
        for name in list(names):
            self.folding[name].title.fold(name not in self._unfolded[self._low])

    def add_curves(self, state: ViewState) -> CurvesPanel:
        """Build the curves, which no run can be shown without."""
        from lbc_gui.curves.curves_panel import CurvesPanel

        curves = CurvesPanel(state)
        column(curves, on=self._curves)
        self.folding["curves"].title.fill(curves.fork_note)
        return curves

    def complete(
        self,
        state: ViewState,
        runs: Path,
        settings: Settings,
        experiment: Callable[[], Experiment | None],
        run_folder: Callable[[], Path | None],
        approves: Callable[[Experiment], bool],
    ) -> Iterator[None]:
        """Build the other pages, which take half of the time of all, one in each step."""
        from lbc_gui.comparisons.comparison_page import ComparisonPage
        from lbc_gui.inspector.inspector_page import InspectorPage
        from lbc_gui.latency.latency_page import LatencyPage
        from lbc_gui.library.library_page import LibraryPage
        from lbc_gui.masks.mask_view import MaskView

        self.masks = MaskView(state, runs)
        yield
        self.library = LibraryPage(runs, settings)
        yield
        self.comparisons = ComparisonPage(runs, settings, experiment)
        yield
        self.inspector = InspectorPage()
        yield
        self.latency = LatencyPage(experiment, run_folder, approves, settings)
        yield
        self.masks.heatmap.setMinimumHeight(LOWEST_PICTURE)
        later = {"numbers": self.masks.below, "compare": self.library.below}
        self.folding |= later
        self._fold(later)
        pages = (self.masks, self.library, self.comparisons, self.inspector, self.latency)
        for index, (name, page) in enumerate(zip(OTHERS, pages, strict=True), start=1):
            self.removeTab(index)
            self.insertTab(index, page, name)
        order(self.tabBar(), [self._first, *pages])

    @property
    def shows_moment(self) -> bool:
        """Whether the page on screen shows a moment of the run."""
        return self.tabText(self.currentIndex()) in OF_MOMENT

    @property
    def run_page(self) -> ScoreView | MaskView | None:
        """The page on screen with a picture of a layer; None for another page."""
        at = self.currentIndex()
        return self.scores if at == 0 else self.masks if at == 1 else None

    def hasHeightForWidth(self) -> bool:
        """No: of pages Qt takes the height that they prefer at a width for the one that they need,
        so that one for which there is room would be scrolled."""
        return False

    @property
    def key_taker(self) -> QWidget:
        """The picture or table of the page on screen, which takes most of its keys; the tabs of the
        pages while there is none."""
        if self.run_page is not None:
            return self.run_page.heatmap
        page: QWidget | None = None
        match self.currentWidget():
            case self.library:
                page = self.library.table
            case self.comparisons:
                page = self.comparisons.table
            case self.inspector:
                page = self.inspector.panel.table
            case self.latency:
                page = self.latency.table
        return page if page is not None and page.isVisible() else self.tabBar()
