"""Back and forward through the ranges of a picture that were on screen."""

from __future__ import annotations

import pyqtgraph as pg
from PySide6.QtCore import QObject, QRectF, QTimer, Signal, Slot

SETTLED_MILLISECONDS = 350
"""A range counts once it is unchanged for this long: a turn of the wheel is one step, not ten."""

LONGEST = 100


class ZoomHistory(QObject):
    """Remembers the settled ranges of one view box."""

    changed = Signal()

    def __init__(self, box: pg.ViewBox, parent: QObject) -> None:
        super().__init__(parent)
        self._box = box
        self._ranges: list[QRectF] = []
        self._at = -1
        self._settling = QTimer(self, singleShot=True, interval=SETTLED_MILLISECONDS)
        self._settling.timeout.connect(self.note)
        box.sigRangeChangedManually.connect(self.moved)

    def clear(self) -> None:
        """Start again with the present range, for another picture."""
        self._settling.stop()
        self._ranges = [self._range()]
        self._at = 0
        self.changed.emit()

    @property
    def can_go_back(self) -> bool:
        return self._at > 0 or self._settling.isActive()

    @property
    def can_go_forward(self) -> bool:
        return self._at + 1 < len(self._ranges)

    @Slot()
    def back(self) -> None:
        if self._settling.isActive():
            self.note()
        if self._at > 0:
            self._go(self._at - 1)

    @Slot()
    def forward(self) -> None:
        if self.can_go_forward:
            self._go(self._at + 1)

    @Slot()
    def note(self) -> None:
        """Remember the present range if it is new, and forget the ranges to go forward to."""
        self._settling.stop()
        now = self._range()
        if self._at >= 0 and now == self._ranges[self._at]:
            return
        self._ranges = [*self._ranges[: self._at + 1], now][-LONGEST:]
        self._at = len(self._ranges) - 1
        self.changed.emit()

    @Slot()
    def moved(self, *_: object) -> None:
        """The range was changed by wheel, mouse, key or button."""
        self._settling.start()
        self.changed.emit()

    def _go(self, to: int) -> None:
        self._at = to
        self._box.setRange(self._ranges[to], padding=0)
        self.changed.emit()

    def _range(self) -> QRectF:
        return QRectF(self._box.viewRect())
