"""Combinations as ■■□□ with their numbers, once cells are large enough to hold them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QPainter
from PySide6.QtWidgets import QStyleOptionGraphicsItem, QWidget

from lbc.palette import lookup_table
from lbc_gui.drawing import Snapshot
from lbc_gui.scores.wording import glyphs, members_of

LARGEST_LABELLED = 600
"""Cells that may carry text at a time; more would be slow, and too small to read anyway."""


class CellLabels(pg.GraphicsObject):  # type: ignore[misc]
    """Draws text in the visible cells of a snapshot, in pixels, whatever the zoom."""

    def __init__(self) -> None:
        super().__init__()
        self._snapshot: Snapshot | None = None
        self._font = QFont()
        self._font.setPointSizeF(8.0)
        self.setZValue(5)

    def show_snapshot(self, snapshot: Snapshot | None) -> None:
        self.prepareGeometryChange()
        self._snapshot = snapshot
        self.update()

    def boundingRect(self) -> QRectF:
        if self._snapshot is None:
            return QRectF()
        height, width = self._snapshot.fold.size
        return QRectF(0, 0, width, height)

    def paint(
        self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None
    ) -> None:
        snapshot, view = self._snapshot, self.viewRect()
        if snapshot is None or view is None:
            return
        transform = painter.worldTransform()
        cell = transform.mapRect(QRectF(0, 0, 1, 1))
        metrics = QFontMetricsF(self._font)
        room = metrics.horizontalAdvance(_first_line(snapshot, 0)) + 6
        if cell.width() < room or cell.height() < metrics.height():
            return
        painter.save()
        painter.resetTransform()
        painter.setFont(self._font)
        two_lines = cell.height() >= 2 * metrics.height() + 2
        for y, x in self._visible(view):
            self._label(painter, snapshot, y, x, transform.mapRect(QRectF(x, y, 1, 1)), two_lines)
        painter.restore()

    def _visible(self, view: QRectF) -> list[tuple[int, int]]:
        assert self._snapshot is not None
        height, width = self._snapshot.fold.size
        rows = range(max(0, int(view.top())), min(height, int(np.ceil(view.bottom()))))
        columns = range(max(0, int(view.left())), min(width, int(np.ceil(view.right()))))
        if len(rows) * len(columns) > LARGEST_LABELLED:
            return []
        return [(y, x) for y in rows for x in columns]

    def _label(
        self, painter: QPainter, snapshot: Snapshot, y: int, x: int, box: QRectF, two_lines: bool
    ) -> None:
        place = snapshot.fold.locate(y, x)
        if place is None:
            return
        block, member = place
        score = float(snapshot.scores[block, member])
        lines = [_first_line(snapshot, member)]
        if two_lines:
            lines.append("removed" if score == -np.inf else f"{score:.5f}")
        painter.setPen(_ink(snapshot, y, x))
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, "\n".join(lines))

    def dataBounds(self, *_: Any) -> None:
        """The picture decides about the range."""


def _first_line(snapshot: Snapshot, member: int) -> str:
    if snapshot.by_position:
        return f"position {member}"
    return glyphs(members_of(snapshot.pattern, member), snapshot.pattern.m)


def _ink(snapshot: Snapshot, y: int, x: int) -> QColor:
    scale = snapshot.cells.scale
    table = lookup_table(scale.colour, (255, 255, 255), scale.colour_map)
    red, green, blue = table[snapshot.cells.codes[y, x]].tolist()
    light = 0.299 * red + 0.587 * green + 0.114 * blue > 140
    return QColor("#101418" if light else "#f2f4f6")
