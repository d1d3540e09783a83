"""The views below the table, which compare the selected runs, or all that it shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from PySide6.QtCore import Signal, Slot
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QTabWidget, QWidget

from lbc_gui.compare.run_selection import RunSelection
from lbc_gui.turns import call_later
from lbc_gui.widgets.layouts import column
from lbc_gui.worker import Job

Built = tuple[QWidget, Job | None]


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
        self._builders: dict[str, Callable[[], Iterator[Built | None]]] = {
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
            self._continue(holder, self._builders.pop(title)())

    def _continue(self, holder: QWidget, parts: Iterator[Built | None]) -> None:
        """Build one part of a view in each turn of the event loop, and then show the view."""
        built = next(parts)
        rest = (
            partial(self._show_pane, holder, *built)
            if built
            else partial(self._continue, holder, parts)
        )
        call_later(holder, rest)

    def _show_pane(self, holder: QWidget, pane: QWidget, job: Job | None) -> None:
        column(pane, on=holder)
        self.built.emit(pane, job)

    def _build_curves(self) -> Iterator[Built | None]:
        from lbc_gui.compare.curves_item import CurvesPlot
        from lbc_gui.compare.curves_pane import CurvesPane

        plot = CurvesPlot()
        yield None
        pane = CurvesPane(self._selection, plot)
        yield pane, pane.reader

    def _build_settings(self) -> Iterator[Built]:
        from lbc_gui.compare.settings_pane import SettingsPane

        yield SettingsPane(self._selection), None

    def _build_results(self) -> Iterator[Built]:
        from lbc_gui.compare.results_pane import ResultsPane

        yield ResultsPane(self._selection), None

    def _build_masks(self) -> Iterator[Built]:
        from lbc_gui.compare.masks_pane import MasksPane

        pane = MasksPane(self._selection)
        pane.masks_requested.connect(self.masks_requested)
        yield pane, pane.reading

    def _build_scatter(self) -> Iterator[Built]:
        from lbc_gui.compare.scatter_pane import ScatterPane

        pane = ScatterPane(self._selection)
        yield pane, pane.costs

    def _build_parallel(self) -> Iterator[Built]:
        from lbc_gui.compare.parallel_pane import ParallelPane

        yield ParallelPane(self._selection), None

    def _build_forks(self) -> Iterator[Built]:
        from lbc_gui.compare.forks_pane import ForksPane

        pane = ForksPane(self._selection)
        pane.compare_requested.connect(self.fork_requested)
        yield pane, None
