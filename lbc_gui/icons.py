"""The icons of ``resources/icons``: one weight of line, drawn in the palette's text colour.

Each is drawn when it is painted, so a change between light and dark needs no new icons.
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


@cache
def icon(name: str) -> QIcon:
    """The icon of ``resources/icons/NAME.svg``."""
    return QIcon(_Drawing(resource(f"icons/{name}.svg").read_bytes()))


@cache
def square(colour_of: Callable[[int], QColor], number: int) -> QIcon:
    """A square in the colour that something with a number has in plots."""
    return QIcon(_Square(partial(colour_of, number)))


class _Engine(QIconEngine):
    def pixmap(self, size: QSize, mode: QIcon.Mode, state: QIcon.State) -> QPixmap:
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

    def paint(self, painter: QPainter, rect: QRect, mode: QIcon.Mode, state: QIcon.State) -> None:
        painter.fillRect(rect, self._colour())


class _Drawing(_Engine):
    def __init__(self, drawing: bytes) -> None:
        super().__init__()
        self._drawing = drawing

    def paint(self, painter: QPainter, rect: QRect, mode: QIcon.Mode, state: QIcon.State) -> None:
        group, role = QPalette.ColorGroup.Active, QPalette.ColorRole.ButtonText
        if mode is QIcon.Mode.Disabled:
            group = QPalette.ColorGroup.Disabled
        elif mode is QIcon.Mode.Selected:
            role = QPalette.ColorRole.HighlightedText
        ink = QApplication.palette().color(group, role).name().encode()
        QSvgRenderer(self._drawing.replace(_DRAWN, ink)).render(painter, QRectF(rect))
