"""Cyclic garbage collection in the window's thread only."""

from __future__ import annotations

import gc

from PySide6.QtCore import QObject, QTimer, Slot

YOUNG_SECONDS = 1.0
FULL_EVERY = 30
"""Number of young collections per full one."""


class GarbageCollector(QObject):
    """Collects on a timer: automatic collection could destroy widgets in another thread."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        gc.disable()
        self._count = 0
        self._timer = QTimer(self)
        self._timer.setInterval(int(YOUNG_SECONDS * 1000))
        self._timer.timeout.connect(self._collect)
        self._timer.start()

    def close(self) -> None:
        self._timer.stop()
        gc.enable()

    @Slot()
    def _collect(self) -> None:
        self._count += 1
        gc.collect(2 if self._count % FULL_EVERY == 0 else 1)
