"""The checkpoint on screen: the thread that reads it, and what it says as signals."""

from __future__ import annotations

from PySide6.QtCore import QObject, QTimer, Signal, Slot

from lbc_gui.inspector.reader_thread import LayerRequest, Listed, Opening, ReadingThread

DRAIN_MILLISECONDS = 40


class Reading(QObject):
    """At most one thread at a time; it ends as soon as there is nothing left to read."""

    arrived = Signal(object)
    """List of events, oldest first."""
    running_changed = Signal(bool)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.opening: Opening | None = None
        """What is on screen."""
        self._next: tuple[Opening, LayerRequest] | None = None
        self._thread: ReadingThread | None = None
        self._timer = QTimer(self)
        self._timer.setInterval(DRAIN_MILLISECONDS)
        self._timer.timeout.connect(self._drain)

    @property
    def running(self) -> bool:
        return self._thread is not None

    @property
    def surveying(self) -> bool:
        """Whether all layers are being read, and not just one."""
        return self._thread is not None and self._thread.survey

    def open(self, opening: Opening, first: LayerRequest) -> None:
        """Read a checkpoint instead of the present one, the layer in ``first`` before all else."""
        self._next = (opening, first)
        if self._thread is None:
            self._begin_next()
        else:
            self._thread.cancel.set()

    def look(self, request: LayerRequest) -> None:
        """Read one layer of what is on screen; of several that wait only the last is read."""
        if self.opening is None or self._next is not None:
            return
        if self._thread is None:
            self._begin(self.opening, request, survey=False)
        elif self._thread.opening is self.opening:  # else it reads what will be on screen
            self._thread.wanted.append(request)

    @Slot()
    def cancel(self) -> None:
        """Read no more; what has been read stays."""
        self._next = None
        if self._thread is not None:
            self._thread.cancel.set()

    def _begin_next(self) -> None:
        assert self._next is not None
        (opening, first), self._next = self._next, None
        self._begin(opening, first, survey=True)

    def _begin(self, opening: Opening, first: LayerRequest, survey: bool) -> None:
        self._thread = ReadingThread(opening, first, survey)
        self._thread.finished.connect(self._finished)
        self._thread.start()
        self._timer.start()
        self.running_changed.emit(True)

    @Slot()
    def _drain(self) -> None:
        thread = self._thread
        if thread is None:
            return
        events = []
        while thread.events:
            events.append(thread.events.popleft())
        if not events or self._next is not None:  # of a checkpoint that is being replaced
            return
        for event in events:
            if isinstance(event, Listed):
                self.opening = event.opening
        self.arrived.emit(events)

    @Slot()
    def _finished(self) -> None:
        self._drain()
        thread, self._thread = self._thread, None
        self._timer.stop()
        if thread is None:
            return
        thread.wait()
        thread.deleteLater()
        left = thread.wanted and not thread.cancel.is_set() and thread.opening is self.opening
        if self._next is not None:
            self._begin_next()
        elif left and self.opening is not None:  # it was asked for while the thread ended
            self._begin(self.opening, thread.wanted.pop(), survey=False)
        else:
            self.running_changed.emit(False)
