"""The frames around pinned blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyqtgraph as pg
from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QFont, QFontMetricsF, QPainter, QPen
from PySide6.QtWidgets import QStyleOptionGraphicsItem, QWidget

from lbc_gui.theme import BLACK, WHITE

_SMALLEST = 9.0
"""Pixels of a frame's sides at least: that of a block of one pixel must be seen."""


@dataclass(frozen=True)
class Frame:
    """The rectangle of a pinned block, in cells, and its number in the list of pins."""

    place: QRectF
    number: int
    current: bool


class PinFrames(pg.GraphicsObject):  # type: ignore[misc]
    """White frames between black lines, which stand out on every colour, with their numbers."""

    def __init__(self) -> None:
        super().__init__()
        self._frames: Sequence[Frame] = ()
        self._font = QFont()
        self._font.setPointSizeF(8.0)
        self._font.setBold(True)
        self._metrics = QFontMetricsF(self._font)
        self.setZValue(10)

    def show_frames(self, frames: Sequence[Frame]) -> None:
        self.prepareGeometryChange()
        self._frames = sorted(frames, key=lambda frame: frame.current)  # the current one on top
        self.setVisible(bool(frames))

    def boundingRect(self) -> QRectF:
        bounds = QRectF()
        for frame in self._frames:
            bounds |= frame.place
        return bounds

    def paint(
        self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None
    ) -> None:
        transform, view = painter.worldTransform(), self.viewRect()
        if view is None:
            return
        seen = transform.mapRect(view)
        painter.save()
        painter.resetTransform()
        painter.setFont(self._font)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        for frame in self._frames:
            place = transform.mapRect(frame.place)
            across = max(0.0, (_SMALLEST - place.width()) / 2)
            down = max(0.0, (_SMALLEST - place.height()) / 2)
            place.adjust(-across, -down, across, down)
            line = 2.5 if frame.current else 1.5
            for colour, width in ((BLACK, line + 2), (WHITE, line)):
                pen = QPen(colour, width)
                pen.setJoinStyle(Qt.PenJoinStyle.MiterJoin)
                painter.setPen(pen)
                painter.drawRect(place)
            self._draw_number(painter, place, str(frame.number), seen)
        painter.restore()

    def _draw_number(self, painter: QPainter, place: QRectF, number: str, seen: QRectF) -> None:
        """The number in a black field above the frame, else below it, else inside."""
        height, width = self._metrics.height(), self._metrics.horizontalAdvance(number) + 6
        tops = (place.top() - height - 2, place.bottom() + 2)
        fits = (y for y in tops if seen.top() <= y <= seen.bottom() - height)
        left = min(max(place.left() - 2, seen.left()), seen.right() - width)
        field = QRectF(left, next(fits, max(place.top(), seen.top()) + 2), width, height)
        painter.fillRect(field, BLACK)
        painter.setPen(WHITE)
        painter.drawText(field, Qt.AlignmentFlag.AlignCenter, number)

    def dataBounds(self, *_: object) -> None:
        """The picture decides about the range."""
