"""The icons of ``resources/icons``: one weight of line, drawn in the palette's text colour.

Each has the colours that the palette has when it is painted, so a change between light and dark
needs no new icons.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

from PySide6.QtCore import QPoint, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QIcon, QIconEngine, QPainter, QPalette, QPixmap
from PySide6.QtSvg import QSvgRenderer
from PySide6.QtWidgets import QApplication

from lbc.files.resources import resource

_DRAWN = b"#808080"
"""The colour in the files, which reads on light and dark: style sheets show it as it is."""

MOST_KEPT = 32
"""Pixmaps that an icon keeps, each for a size and a colour."""


@cache
def icon(name: str) -> QIcon:
    """The icon of ``resources/icons/NAME.svg``."""
    return QIcon(_Drawing(resource(f"icons/{name}.svg").read_bytes()))


@cache
def square(colour_of: Callable[[int], QColor], number: int) -> QIcon:
    """A square in the colour that something with a number has in plots."""
    return QIcon(_Square(partial(colour_of, number)))


class _Engine(QIconEngine):
    """Draws in ``colour(mode)``, and keeps what it has drawn: a window paints its icons often."""

    def __init__(self) -> None:
        super().__init__()
        self._drawn: dict[tuple[int, int, int], QPixmap] = {}

    def colour(self, mode: QIcon.Mode) -> QColor:
        raise NotImplementedError

    def pixmap(self, size: QSize, mode: QIcon.Mode, state: QIcon.State) -> QPixmap:
        key = size.width(), size.height(), self.colour(mode).rgba()
        if key not in self._drawn:
            if len(self._drawn) == MOST_KEPT:
                self._drawn.clear()
            self._drawn[key] = self._draw(size, mode, state)
        return self._drawn[key]

    def _draw(self, size: QSize, mode: QIcon.Mode, state: QIcon.State) -> QPixmap:
        pixmap = QPixmap(size)
        pixmap.fill(Qt.GlobalColor.transparent)
        if not pixmap.isNull():  # as it is where a layout has left no room
            painter = QPainter(pixmap)
            self.paint(painter, QRect(QPoint(), size), mode, state)
            painter.end()
        return pixmap

    def clone(self) -> QIconEngine:
        # Qt asks only before it adds pixmaps to a copy, and Python would delete the clone.
        raise NotImplementedError


class _Square(_Engine):
    def __init__(self, colour: Callable[[], QColor]) -> None:
        super().__init__()
        self._colour = colour

    def colour(self, mode: QIcon.Mode) -> QColor:
        return self._colour()

    def paint(self, painter: QPainter, rect: QRect, mode: QIcon.Mode, state: QIcon.State) -> None:
        painter.fillRect(rect, self._colour())


class _Drawing(_Engine):
    def __init__(self, drawing: bytes) -> None:
        super().__init__()
        self._drawing = drawing

    def colour(self, mode: QIcon.Mode) -> QColor:
        group, role = QPalette.ColorGroup.Active, QPalette.ColorRole.ButtonText
        if mode is QIcon.Mode.Disabled:
            group = QPalette.ColorGroup.Disabled
        elif mode is QIcon.Mode.Selected:
            role = QPalette.ColorRole.HighlightedText
        return QApplication.palette().color(group, role)

    def paint(self, painter: QPainter, rect: QRect, mode: QIcon.Mode, state: QIcon.State) -> None:
        ink = self.colour(mode).name().encode()
        QSvgRenderer(self._drawing.replace(_DRAWN, ink)).render(painter, QRectF(rect))
