"""Reads the checkpoint on screen, one thread at a time."""

from __future__ import annotations

from PySide6.QtCore import QObject, Slot

from lbc_gui.inspector.reader_thread import LayerRequest, Listed, Opening, ReaderThread
from lbc_gui.worker import Job, Worker


class CheckpointReader(Job):
    """Opens checkpoints and reads their layers; a thread ends once there is nothing to read."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.opening: Opening | None = None
        """What is on screen."""
        self._next: tuple[Opening, LayerRequest] | None = None

    @property
    def _worker(self) -> ReaderThread | None:
        worker = self._workers[0] if self._workers else None
        assert worker is None or isinstance(worker, ReaderThread)
        return worker

    @property
    def surveying(self) -> bool:
        """Whether all layers are being read, and not just one."""
        return self._worker is not None and self._worker.survey

    def open(self, opening: Opening, first: LayerRequest) -> None:
        """Read a checkpoint instead of the present one, beginning with the layer in ``first``."""
        self._next = (opening, first)
        if self._worker is None:
            self._launch_next()
        else:
            self._worker.cancelled.set()

    def look(self, request: LayerRequest) -> None:
        """Read one layer of the checkpoint on screen; of several requests only the last counts."""
        if self.opening is None or self._next is not None:
            return
        if self._worker is None:
            self._launch(ReaderThread(self.opening, request, False, self))
        elif self._worker.opening is self.opening:  # else it reads what will be on screen
            self._worker.wanted.append(request)

    @Slot()
    def cancel(self) -> None:
        """Stop reading; what has been read stays."""
        self._next = None
        super().cancel()

    def _launch_next(self) -> None:
        assert self._next is not None
        (opening, first), self._next = self._next, None
        self._launch(ReaderThread(opening, first, True, self))

    @Slot(object)
    def _receive(self, events: list[object]) -> None:
        if self._next is not None:  # they are of a checkpoint that is being replaced
            return
        for event in events:
            if isinstance(event, Listed):
                self.opening = event.opening
        super()._receive(events)

    def _worker_ended(self, worker: Worker) -> None:
        assert isinstance(worker, ReaderThread)
        if self._next is not None:
            self._launch_next()
        elif worker.wanted and not worker.cancelled.is_set():
            self.look(worker.wanted.pop())  # it was requested while the thread ended
