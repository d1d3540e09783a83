"""The measurement under way: its thread, and what it says as signals of the window's thread."""

from __future__ import annotations

from PySide6.QtCore import QObject, QTimer, Signal, Slot

from lbc_gui.latency.measurement_thread import MeasuringThread, Prepare

DRAIN_MILLISECONDS = 100


class Measuring(QObject):
    """At most one measurement at a time; ``cancel`` ends it within seconds."""

    arrived = Signal(object)
    """List of events, oldest first."""
    running_changed = Signal(bool)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._thread: MeasuringThread | None = None
        self._timer = QTimer(self)
        self._timer.setInterval(DRAIN_MILLISECONDS)
        self._timer.timeout.connect(self._drain)

    @property
    def running(self) -> bool:
        return self._thread is not None

    def start(self, prepare: Prepare) -> None:
        """Measure what ``prepare`` gives; it runs in the thread, for it may load a network."""
        if self._thread is not None:
            return
        self._thread = MeasuringThread(prepare)
        self._thread.finished.connect(self._finished)
        self._thread.start()
        self._timer.start()
        self.running_changed.emit(True)

    @Slot()
    def cancel(self) -> None:
        if self._thread is not None:
            self._thread.cancel.set()

    @Slot()
    def _drain(self) -> None:
        thread = self._thread
        if thread is None:
            return
        events = []
        while thread.events:
            events.append(thread.events.popleft())
        if events:
            self.arrived.emit(events)

    @Slot()
    def _finished(self) -> None:
        self._drain()
        thread, self._thread = self._thread, None
        self._timer.stop()
        if thread is not None:
            thread.wait()
            thread.deleteLater()
        self.running_changed.emit(False)
