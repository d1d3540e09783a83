"""The views below the table, which compare the selected runs, or all that it shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QTabWidget, QWidget

from lbc_gui.compare.run_selection import RunSelection
from lbc_gui.run.worker import Job

if TYPE_CHECKING:  # at run time they are imported when they are first seen
    from lbc_gui.compare.curves_pane import CurvesPane
    from lbc_gui.compare.masks_pane import MasksPane
    from lbc_gui.compare.scatter_pane import ScatterPane


class Comparison(QTabWidget):
    """Builds its views when it is first on screen; ``built`` follows."""

    built = Signal()

    curves: CurvesPane
    masks: MasksPane
    scatter: ScatterPane

    def __init__(self, selection: RunSelection) -> None:
        super().__init__(documentMode=True)
        self._selection = selection

    @property
    def jobs(self) -> tuple[Job, ...]:
        """What must end before the window closes."""
        return self.curves.reader, self.masks.reading, self.scatter.costs

    @property
    def panes(self) -> list[QWidget]:
        return [pane for at in range(self.count()) if (pane := self.widget(at))]

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if not self.count():
            self._build()

    def _build(self) -> None:
        from lbc_gui.compare.curves_pane import CurvesPane
        from lbc_gui.compare.masks_pane import MasksPane
        from lbc_gui.compare.parallel_pane import ParallelPane
        from lbc_gui.compare.results_pane import ResultsPane
        from lbc_gui.compare.scatter_pane import ScatterPane
        from lbc_gui.compare.settings_pane import SettingsPane

        self.curves, self.masks = CurvesPane(self._selection), MasksPane(self._selection)
        self.scatter = ScatterPane(self._selection)
        for pane, title in (
            (self.curves, "Curves"),
            (SettingsPane(self._selection), "Settings"),
            (ResultsPane(self._selection), "Results"),
            (self.masks, "Masks"),
            (self.scatter, "Scatter"),
            (ParallelPane(self._selection), "Parallel"),
        ):
            self.addTab(pane, title)
        self.built.emit()
