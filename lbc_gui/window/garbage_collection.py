"""Python's cyclic garbage, collected only in the window's thread and only when it is quiet."""

from __future__ import annotations

import gc

from PySide6.QtCore import QObject, QTimer, Slot

YOUNG_SECONDS = 1.0
FULL_EVERY = 30
"""Every how many young collections the oldest generation is looked at too."""


class Housekeeping(QObject):
    """Automatic collections are off: one in the training thread could destroy widgets there."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        gc.disable()
        self._count = 0
        self._timer = QTimer(self)
        self._timer.setInterval(int(YOUNG_SECONDS * 1000))
        self._timer.timeout.connect(self._collect)
        self._timer.start()

    def settle(self) -> None:
        """All big imports are done: never look at their objects again."""
        gc.collect()
        gc.freeze()

    def close(self) -> None:
        """Give the collector back as it was."""
        self._timer.stop()
        gc.enable()

    @Slot()
    def _collect(self) -> None:
        self._count += 1
        gc.collect(2 if self._count % FULL_EVERY == 0 else 1)
