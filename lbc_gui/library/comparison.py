"""The views below the table, which compare the selected runs, or all that it shows."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QTimer, Signal, Slot
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QTabWidget, QWidget

from lbc_gui.compare.run_selection import RunSelection
from lbc_gui.run.worker import Job
from lbc_gui.widgets.layouts import column


class Comparison(QTabWidget):
    """Imports and builds each view when it is first on screen, after ``start`` was called."""

    built = Signal(object, object)
    """A view, and its Job, or None."""
    masks_requested = Signal(object, object, str)
    """As ``MasksPane.masks_requested``."""

    fork_requested = Signal(object)
    """As ``ForksPane.compare_requested``."""

    def __init__(self, selection: RunSelection) -> None:
        super().__init__(documentMode=True)
        self._selection, self._started = selection, False
        self._builders = {
            "Curves": self._build_curves,
            "Settings": self._build_settings,
            "Results": self._build_results,
            "Masks": self._build_masks,
            "Scatter": self._build_scatter,
            "Parallel": self._build_parallel,
            "Forks": self._build_forks,
        }
        for title in self._builders:
            self.addTab(QWidget(), title)
        self.currentChanged.connect(self._build)

    def start(self) -> None:
        self._started = True
        self._build()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._build()

    @Slot()
    def _build(self, _index: int = 0) -> None:
        holder, title = self.currentWidget(), self.tabText(self.currentIndex())
        if self._started and self.isVisible() and title in self._builders:
            pane, job = self._builders.pop(title)()
            # In another turn of the event loop, which must not wait for both.
            QTimer.singleShot(0, holder, partial(self._show_pane, holder, pane, job))

    def _show_pane(self, holder: QWidget, pane: QWidget, job: Job | None) -> None:
        column(pane, on=holder)
        self.built.emit(pane, job)

    def _build_curves(self) -> tuple[QWidget, Job | None]:
        from lbc_gui.compare.curves_pane import CurvesPane

        pane = CurvesPane(self._selection)
        return pane, pane.reader

    def _build_settings(self) -> tuple[QWidget, Job | None]:
        from lbc_gui.compare.settings_pane import SettingsPane

        return SettingsPane(self._selection), None

    def _build_results(self) -> tuple[QWidget, Job | None]:
        from lbc_gui.compare.results_pane import ResultsPane

        return ResultsPane(self._selection), None

    def _build_masks(self) -> tuple[QWidget, Job | None]:
        from lbc_gui.compare.masks_pane import MasksPane

        pane = MasksPane(self._selection)
        pane.masks_requested.connect(self.masks_requested)
        return pane, pane.reading

    def _build_scatter(self) -> tuple[QWidget, Job | None]:
        from lbc_gui.compare.scatter_pane import ScatterPane

        pane = ScatterPane(self._selection)
        return pane, pane.costs

    def _build_parallel(self) -> tuple[QWidget, Job | None]:
        from lbc_gui.compare.parallel_pane import ParallelPane

        return ParallelPane(self._selection), None

    def _build_forks(self) -> tuple[QWidget, Job | None]:
        from lbc_gui.compare.forks_pane import ForksPane

        pane = ForksPane(self._selection)
        pane.compare_requested.connect(self.fork_requested)
        return pane, None
