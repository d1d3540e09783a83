"""Combinations as ■■□□ with their numbers, once cells are large enough to hold them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QPainter
from PySide6.QtWidgets import QStyleOptionGraphicsItem, QWidget

from lbc_gui.drawing import Drawn, Snapshot
from lbc_gui.scores.wording import glyphs, members_of

LARGEST_LABELLED = 600
"""Cells that may carry text at a time; more would be slow, and too small to read anyway."""


class CellLabels(pg.GraphicsObject):  # type: ignore[misc]
    """Draws text in the visible cells of a picture, in pixels, whatever the zoom.

    ``words`` says what stands in a cell: a first line, and a second where there is room.
    """

    def __init__(self, words: Callable[[Any, int, int], tuple[str, str]]) -> None:
        super().__init__()
        self._words = words
        self._snapshot: Drawn | None = None
        self._font = QFont()
        self._font.setPointSizeF(8.0)
        self.setZValue(5)

    def show_snapshot(self, snapshot: Drawn | None) -> None:
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
        room = metrics.horizontalAdvance(self._words(snapshot, 0, 0)[0]) + 6
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
        self, painter: QPainter, snapshot: Drawn, y: int, x: int, box: QRectF, two_lines: bool
    ) -> None:
        place = snapshot.fold.locate(y, x)
        if place is None:
            return
        lines = self._words(snapshot, *place)[: 2 if two_lines else 1]
        painter.setPen(_ink(snapshot, y, x))
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, "\n".join(lines))

    def dataBounds(self, *_: Any) -> None:
        """The picture decides about the range."""


def score_words(snapshot: Snapshot, block: int, member: int) -> tuple[str, str]:
    """A combination, or a position, and its score."""
    score = float(snapshot.scores[block, member])
    said = "removed" if score == -np.inf else f"{score:.5f}"
    if snapshot.by_position:
        return f"position {member}", said
    return glyphs(members_of(snapshot.pattern, member), snapshot.pattern.m), said


def _ink(snapshot: Drawn, y: int, x: int) -> QColor:
    table = snapshot.cells.scale.table((255, 255, 255))
    red, green, blue = table[snapshot.cells.codes[y, x]].tolist()
    light = 0.299 * red + 0.587 * green + 0.114 * blue > 140
    return QColor("#101418" if light else "#f2f4f6")
