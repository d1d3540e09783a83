"""Threads of plain Python, whose results and failures arrive in the window's thread."""

from __future__ import annotations

import threading
import traceback
from collections import deque
from dataclasses import dataclass

from PySide6.QtCore import QObject, QThread, QTimer, Signal, Slot

DRAIN_MILLISECONDS = 40
"""Interval at which the window's thread collects a worker's events."""


@dataclass(frozen=True)
class Failed:
    """Something went wrong: a sentence for the user, and details for a bug report."""

    message: str
    details: str = ""


def describe(what: str, error: Exception, *sentences: type[Exception]) -> Failed:
    """``what`` could not be done, and why. Errors of the types ``sentences`` say so themselves."""
    if isinstance(error, sentences):
        return Failed(str(error))
    if isinstance(error, MemoryError):
        return Failed(f"{what}: there is not enough memory.")
    if isinstance(error, OSError):
        return Failed(f"{what}: {error.strerror or error}.")
    details = "".join(traceback.format_exception(error))
    return Failed(f"{what}: {type(error).__name__}: {error}", details)


class Worker(QThread):
    """Runs ``work`` in a thread of its own; an exception in it becomes a ``Failed`` event.

    Subclasses post events, which arrive in the window's thread in the same order. ``cancelled`` is
    set to ask the thread to end.
    """

    arrived = Signal(object)
    """List of events, oldest first."""
    ended = Signal()
    """The thread has ended and its last events have arrived."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.cancelled = threading.Event()
        self._events: deque[object] = deque()
        self._timer = QTimer(self)
        self._timer.setInterval(DRAIN_MILLISECONDS)
        self._timer.timeout.connect(self.drain)
        self.finished.connect(self._end)

    def launch(self, priority: QThread.Priority = QThread.Priority.InheritPriority) -> None:
        """Start the thread and the delivery of its events."""
        self._timer.start()
        self.start(priority)

    def run(self) -> None:
        try:
            self.work()
        except Exception as error:
            self.post(self.failure(error))

    def work(self) -> None:
        """What the thread does."""
        raise NotImplementedError

    def failure(self, error: Exception) -> Failed:
        """Describe an exception that ended ``work``."""
        raise NotImplementedError

    def post(self, event: object) -> None:
        """Queue an event, from any thread."""
        self._events.append(event)

    @Slot()
    def drain(self) -> None:
        """Deliver the events queued so far, in the window's thread."""
        events = []
        while self._events:
            events.append(self._events.popleft())
        if events:
            self.arrived.emit(events)

    @Slot()
    def _end(self) -> None:
        self._timer.stop()
        self.wait()
        self.drain()
        self.ended.emit()


class Job(QObject):
    """Runs one worker at a time."""

    arrived = Signal(object)
    """List of the worker's events, oldest first."""
    running_changed = Signal(bool)

    _worker: Worker | None = None

    @property
    def running(self) -> bool:
        return self._worker is not None

    @Slot()
    def cancel(self) -> None:
        """Ask the worker to end."""
        if self._worker is not None:
            self._worker.cancelled.set()

    def _launch(
        self, worker: Worker, priority: QThread.Priority = QThread.Priority.InheritPriority
    ) -> None:
        self._worker = worker
        worker.arrived.connect(self._receive)
        worker.ended.connect(self._ended)
        worker.launch(priority)
        self.running_changed.emit(True)

    @Slot(object)
    def _receive(self, events: list[object]) -> None:
        self.arrived.emit(events)

    @Slot()
    def _ended(self) -> None:
        if self._worker is not None:
            self._worker.deleteLater()
            self._worker = None
        self.running_changed.emit(False)
