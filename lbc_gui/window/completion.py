"""Builds what is not on screen at first, while the window can be used already."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module

from PySide6.QtCore import QObject, Slot

from lbc_gui.turns import call_later
from lbc_gui.worker import Failed, Job, Worker, describe

MODULES = (
    "lbc_gui.masks.mask_view",
    "lbc_gui.library.library_page",
    "lbc_gui.comparisons.comparison_page",
    "lbc_gui.inspector.inspector_page",
    "lbc_gui.latency.latency_page",
    "lbc_gui.queue.run_queue",
    "lbc_gui.window.run_actions",
    "lbc_gui.window.opener",
    "lbc_gui.compare.curves_pane",
    "lbc_gui.compare.settings_pane",
    "lbc_gui.compare.results_pane",
    "lbc_gui.compare.masks_pane",
    "lbc_gui.compare.scatter_pane",
    "lbc_gui.compare.parallel_pane",
)
"""What the parts need. Their imports take longer than building them."""


class ImportThread(Worker):
    """Imports ``MODULES``, which blocks no event loop."""

    def work(self) -> None:
        for name in MODULES:
            if self.cancelled.is_set():
                return
            import_module(name)

    def failure(self, error: Exception) -> Failed:
        return describe("A part of the window could not be loaded", error)


class Completion(Job):
    """Builds one of ``parts`` in each turn of the event loop, after their imports."""

    def __init__(self, parts: Iterator[None], parent: QObject) -> None:
        super().__init__(parent)
        self._parts, self._begun = parts, False
        self._complete, self._then = False, list[Callable[[], object]]()

    @Slot()
    def begin(self) -> None:
        """Build the parts one after another; once."""
        if not self._begun:
            self._begun = True
            self._launch(ImportThread(self))

    def finish(self) -> None:
        """Build at once what is not built yet."""
        self._begun = True
        for _ in self._parts:
            pass
        self._end()

    def call_then(self, call: Callable[[], object]) -> None:
        """Call ``call`` when everything is built, or now if it is."""
        if self._complete:
            call()
        else:
            self._then.append(call)

    def _end(self) -> None:
        self._complete = True
        while self._then:
            self._then.pop()()

    @Slot()
    def cancel(self) -> None:
        super().cancel()
        self._parts, self._begun = iter(()), True
        self._then.clear()

    def _worker_ended(self, worker: Worker) -> None:
        self._build()

    @Slot()
    def _build(self) -> None:
        if next(self._parts, self) is not self:
            call_later(self, self._build)
        else:
            self._end()
