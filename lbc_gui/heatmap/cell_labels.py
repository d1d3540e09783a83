"""Combinations as ■■□□ with their numbers, once cells are large enough to hold them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QPainter, QStaticText, QTransform
from PySide6.QtWidgets import QStyleOptionGraphicsItem, QWidget

from lbc.pictures.colour_tables import ink_on
from lbc.pictures.glyphs import squares
from lbc.pictures.score_snapshot import Drawn, Snapshot
from lbc_gui.captions import with_minus

LARGEST_LABELLED = 240
"""The most cells that are labelled at once, so that a frame takes less than 16 ms."""

MOST_KNOWN = 4_000
"""The most cells whose text is cached between frames."""

Lines = tuple[tuple[QStaticText, float], ...]
"""Lines of text, each with half its width."""


class CellLabels(pg.GraphicsObject):  # type: ignore[misc]
    """Draws text in the visible cells of a picture, in pixels, whatever the zoom.

    ``words`` returns the text of a cell: one line, and a second one if there is room.
    """

    def __init__(self, words: Callable[[Any, int, int], tuple[str, str]]) -> None:
        super().__init__()
        self._words = words
        self._snapshot: Drawn | None = None
        self._font = QFont()
        self._font.setPointSizeF(8.0)
        self._metrics = QFontMetricsF(self._font)
        self._known: dict[tuple[int, int], tuple[Lines, QColor]] = {}
        self._inks: dict[int, QColor] = {}
        self.setZValue(5)

    def show_snapshot(self, snapshot: Drawn | None) -> None:
        before = self._snapshot
        if before is None or snapshot is None or before.fold != snapshot.fold:
            self.prepareGeometryChange()
        self._snapshot = snapshot
        self._known.clear()
        self._inks.clear()

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
        metrics = self._metrics
        if cell.height() < metrics.height():
            return
        if cell.width() < metrics.horizontalAdvance(self._words(snapshot, 0, 0)[0]) + 6:
            return
        painter.save()
        painter.resetTransform()
        painter.setFont(self._font)
        line_height = metrics.height()
        two_lines = cell.height() >= 2 * line_height + 2
        for y, x in self._visible(view):
            lines, ink = self._label(snapshot, y, x)
            middle = transform.map(QPointF(x + 0.5, y + 0.5))
            shown = lines if two_lines else lines[:1]
            top = middle.y() - len(shown) * line_height / 2
            painter.setPen(ink)
            for at, (text, half) in enumerate(shown):
                painter.drawStaticText(QPointF(middle.x() - half, top + at * line_height), text)
        painter.restore()

    def _visible(self, view: QRectF) -> list[tuple[int, int]]:
        assert self._snapshot is not None
        height, width = self._snapshot.fold.size
        rows = range(max(0, int(view.top())), min(height, int(np.ceil(view.bottom()))))
        columns = range(max(0, int(view.left())), min(width, int(np.ceil(view.right()))))
        if len(rows) * len(columns) > LARGEST_LABELLED:
            return []
        return [(y, x) for y in rows for x in columns]

    def _label(self, snapshot: Drawn, y: int, x: int) -> tuple[Lines, QColor]:
        """The text of a cell and its colour, cached until the next snapshot."""
        known = self._known.get((y, x))
        if known is None:
            place = snapshot.fold.locate(y, x)
            words = () if place is None else self._words(snapshot, *place)
            lines = tuple(self._laid_out(line) for line in words)
            if len(self._known) > MOST_KNOWN:
                self._known.clear()
            known = self._known[y, x] = lines, self._ink(snapshot, int(snapshot.cells.codes[y, x]))
        return known

    def _ink(self, snapshot: Drawn, code: int) -> QColor:
        """The colour of text on a colour code, cached until the next snapshot."""
        if code not in self._inks:
            table = snapshot.cells.scale.table((255, 255, 255))
            self._inks[code] = QColor(*ink_on(table[code].tolist()))
        return self._inks[code]

    def _laid_out(self, line: str) -> tuple[QStaticText, float]:
        text = QStaticText(line)
        text.setTextFormat(Qt.TextFormat.PlainText)
        text.prepare(QTransform(), self._font)
        return text, text.size().width() / 2

    def dataBounds(self, *_: Any) -> None:
        """The picture decides about the range."""


def score_words(snapshot: Snapshot, block: int, member: int) -> tuple[str, str]:
    """A combination, or a position, and its score."""
    score = float(snapshot.scores[block, member])
    said = "removed" if score == -np.inf else with_minus(f"{score:.5f}")
    if snapshot.by_position:
        return f"position {member}", said
    return squares(snapshot.pattern, member), said
