"""Threads of plain Python, whose results and failures arrive in the window's thread."""

from __future__ import annotations

import os
import threading
import traceback
from collections import deque
from dataclasses import dataclass

from PySide6.QtCore import QObject, QThread, QTimer, Signal, Slot

from lbc.files.os_errors import explain
from lbc.files.priority import give_way_in_thread

DRAIN_MILLISECONDS = 40
"""Interval at which the window's thread collects a worker's events."""

NICENESS = 5
"""Of threads with a low priority. At 10 training loses a quarter of its steps to queued runs."""


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
        return Failed(explain(error, what))
    details = "".join(traceback.format_exception(error))
    return Failed(f"{what}: {type(error).__name__}: {error}", details)


def _try_descriptors() -> None:
    """Raise OSError if no pipes can be opened: two, as others may open files meanwhile."""
    opened: list[int] = []
    try:
        for _ in range(2):
            opened += os.pipe()
    finally:
        for descriptor in opened:
            os.close(descriptor)


class Worker(QThread):
    """Runs ``work`` in a thread of its own; an exception in it becomes a ``Failed`` event.

    Subclasses post events, which arrive in the window's thread in the same order. ``cancelled`` is
    set to ask the thread to end.
    """

    arrived = Signal(object)
    """List of events, oldest first."""
    ended = Signal(object)
    """The worker itself: its thread has ended and its last events have arrived."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.cancelled = threading.Event()
        self._events: deque[object] = deque()
        self._timer = QTimer(self)
        self._timer.setInterval(DRAIN_MILLISECONDS)
        self._timer.timeout.connect(self.drain)
        self.finished.connect(self._end)

    def launch(self, priority: QThread.Priority = QThread.Priority.InheritPriority) -> None:
        """Start the thread and the delivery of its events.

        Qt ends the application if a thread cannot open what it needs to wake up: where no more
        files can be opened, ``work`` has failed instead.
        """
        self._timer.start()
        try:
            _try_descriptors()
        except OSError as error:
            self.post(self.failure(error))
            QTimer.singleShot(0, self._end)
        else:
            self.start(priority)

    def run(self) -> None:
        if self.priority() is QThread.Priority.LowPriority:
            give_way_in_thread(NICENESS)
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
        self.ended.emit(self)


class Job(QObject):
    """Runs workers and emits what they post, in the window's thread."""

    arrived = Signal(object)
    """List of events that are neither of the following, oldest first."""
    said = Signal(str)
    """A sentence for the log: workers post it as a string."""
    failed = Signal(str, str)
    """A sentence and details, of ``Failed``."""
    running_changed = Signal(bool)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._workers: list[Worker] = []
        self._closed = False

    @property
    def running(self) -> bool:
        return bool(self._workers)

    @Slot()
    def cancel(self) -> None:
        """Ask the workers to end."""
        for worker in self._workers:
            worker.cancelled.set()

    def close(self) -> None:
        """Cancel, and launch nothing more: a thread must not outlive the window."""
        self._closed = True
        self.cancel()

    def _launch(
        self, worker: Worker, priority: QThread.Priority = QThread.Priority.InheritPriority
    ) -> None:
        if self._closed:
            return
        self._workers.append(worker)
        worker.arrived.connect(self._receive)
        worker.ended.connect(self._ended)
        worker.launch(priority)
        self.running_changed.emit(True)

    @Slot(object)
    def _receive(self, events: list[object]) -> None:
        others = [event for event in events if not isinstance(event, str | Failed)]
        if others:
            self.arrived.emit(others)
        for event in events:
            if isinstance(event, Failed):
                self.failed.emit(event.message, event.details)
            elif isinstance(event, str):
                self.said.emit(event)

    @Slot(object)
    def _ended(self, worker: Worker) -> None:
        self._workers.remove(worker)
        worker.deleteLater()
        self.running_changed.emit(self.running)
        self._worker_ended(worker)

    def _worker_ended(self, worker: Worker) -> None:
        """What a subclass does next. Not in ``_ended``: for each connection with a slot that a
        subclass overrides PySide6 6.11 keeps a weak reference."""
