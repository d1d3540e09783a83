"""Reads the library, arranges its rows and changes runs, in threads of their own."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PySide6.QtCore import QObject, QThread, Signal, Slot

from lbc.library.columns import Frame
from lbc.library.filter_syntax import FilterError
from lbc.library.index import Library
from lbc.library.run_summary import RunSummary
from lbc.runs.run_state import RunError
from lbc_gui.library.arrangement import Arrangement, Request, arrange
from lbc_gui.library.run_changes import Done
from lbc_gui.worker import Failed, Job, Worker, describe

SHOW_SECONDS = 0.5
"""While many runs are read for the first time, those read so far are shown this often."""

FIRST_RUNS = 200
"""So many are shown before the rest of the index is read."""

Runs = tuple[RunSummary, ...]


@dataclass(frozen=True)
class Progress:
    """So many runs of those that have changed are read."""

    done: int
    total: int


class _Cancelled(Exception):  # noqa: N818 - nothing went wrong
    pass


class RefreshThread(Worker):
    """Posts the runs that are known, the newest at once, if ``first``, and what they are now."""

    def __init__(self, library: Library, first: bool, parent: QObject) -> None:
        super().__init__(parent)
        self._library, self._first = library, first
        self.began = time.monotonic()
        self._shown = 0.0

    def work(self) -> None:
        if self._first:
            self.post(self._library.newest(FIRST_RUNS))
            self.post(self._library.runs())
        try:
            changes = self._library.refresh(self._progress)
        except _Cancelled:
            return
        if changes or self._first:
            self.post(self._library.runs())

    def failure(self, error: Exception) -> Failed:
        return describe("The runs could not be read", error, RunError)

    def _progress(self, done: int, total: int) -> None:
        if self.cancelled.is_set():
            raise _Cancelled
        if not done:
            self._shown = time.monotonic()
        elif done < total:
            self.post(Progress(done, total))
            if time.monotonic() - self._shown > SHOW_SECONDS:
                self._shown = time.monotonic()
                self.post(self._library.runs())


class ArrangeThread(Worker):
    """Posts the Arrangement of runs that a request asks for, or why its filter cannot be used."""

    def __init__(self, frame: Frame, request: Request, parent: QObject) -> None:
        super().__init__(parent)
        self._frame, self._request = frame, request

    def work(self) -> None:
        try:
            self.post(arrange(self._frame, self._request))
        except FilterError as error:
            self.post(error)

    def failure(self, error: Exception) -> Failed:
        return describe("The runs could not be arranged", error)


class ChangeThread(Worker):
    """Makes a change, which returns the sentence that says so, and how it is taken back."""

    def __init__(self, change: Callable[[], Done], parent: QObject) -> None:
        super().__init__(parent)
        self._change = change

    def work(self) -> None:
        self.post(self._change())

    def failure(self, error: Exception) -> Failed:
        return describe("The run could not be changed", error, RunError)


class LibraryReader(Job):
    """Keeps ``frame`` as the folders are, as often as ``refresh`` is called."""

    arranged = Signal(object)
    """Arrangement."""
    misunderstood = Signal(object)
    """FilterError: the rows stay as they are."""
    progressed = Signal(object)
    """Progress; None once all runs are read."""
    refreshed = Signal(float)
    """The folders were looked at, which took so many seconds."""
    changed = Signal(object)
    """Done."""

    def __init__(self, library: Library, parent: QObject) -> None:
        super().__init__(parent)
        self.library = library
        self.frame: Frame | None = None
        """The runs as of the last look; None before the first."""
        self._request = Request()
        self._pending = self._again = False
        self.arrived.connect(self._add)

    @Slot()
    def refresh(self) -> None:
        """Read what has changed; again afterwards if the folders are being read already."""
        self._again = self._is_active(RefreshThread)
        if not self._again:
            thread = RefreshThread(self.library, self.frame is None, self)
            self._launch(thread, QThread.Priority.LowPriority)

    def arrange(self, request: Request) -> None:
        """Arrange the runs; ``arranged`` follows, once for several requests in a short time."""
        self._request = request
        self._pending = self._is_active(ArrangeThread)
        if not self._pending and self.frame is not None:
            self._launch(ArrangeThread(self.frame, request, self))

    @property
    def arranging(self) -> bool:
        """Whether ``arranged`` is still to come."""
        return self._is_active(ArrangeThread)

    def change(self, change: Callable[[], Done]) -> None:
        """Change runs; ``changed`` or ``failed`` follows."""
        self._launch(ChangeThread(change, self))

    def _is_active(self, kind: type[Worker]) -> bool:
        return any(isinstance(worker, kind) for worker in self._workers)

    @Slot(object)
    def _add(self, events: Sequence[object]) -> None:
        for event in events:
            match event:
                case Progress():
                    self.progressed.emit(event)
                case Arrangement():
                    self.arranged.emit(event)
                case Done():
                    self.changed.emit(event)
                    self.refresh()
                case FilterError():
                    self.misunderstood.emit(event)
                case tuple():
                    self.frame = Frame(event)
                    self.arrange(self._request)

    def _worker_ended(self, worker: Worker) -> None:
        if worker.cancelled.is_set():
            return
        if isinstance(worker, ArrangeThread) and self._pending:
            self.arrange(self._request)
        if isinstance(worker, RefreshThread):
            self.progressed.emit(None)
            self.refreshed.emit(time.monotonic() - worker.began)
            if self._again:
                self.refresh()
