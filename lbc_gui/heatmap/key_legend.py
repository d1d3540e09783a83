"""What the colours of a picture mean: a bar of levels, or a swatch for each kind."""

from __future__ import annotations

from PySide6.QtCore import QRect, QSize, Qt, Slot
from PySide6.QtGui import QColor, QImage, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from lbc.pictures.colour_keys import RGB, Key, Scale, Swatches
from lbc.pictures.colour_tables import REMOVED_COLOUR
from lbc.pictures.score_codes import HIGHEST, LOWEST, NOTHING, SYMMETRIC, Codes
from lbc_gui.heatmap.rgb_image import rgb_image

MOST_NAMED = 4
"""Kinds that all have room for their names; of more the first and the last are named."""

_BAR_WIDTH = 96
_SIDE = 12
_GAP = 6


class KeyLegend(QWidget):
    """A horizontal bar between two texts, or none, then coloured squares with a word each."""

    def __init__(self) -> None:
        super().__init__()
        self.setSizePolicy(QSizePolicy.Policy.Minimum, QSizePolicy.Policy.Fixed)
        self._ends: tuple[str, str] | None = None
        self._kinds: tuple[tuple[str, RGB], ...] = ()
        self._table: Codes | None = None
        self._bar = QImage()
        self._hinted = self.sizeHint()

    @Slot(object)
    def show_key(self, key: Key) -> None:
        before = self._ends, self._kinds, self._table
        if isinstance(key, Scale):
            self._ends, self._table = _ends(key), key.table((0, 0, 0))
            self._kinds = ((key.removed, REMOVED_COLOUR),) if key.removed else ()
        elif isinstance(key, Swatches):
            names = list(key.names)
            if len(names) > MOST_NAMED:
                names[1:-1] = [""] * (len(names) - 2)
            kinds = zip(names, key.colours, strict=True)
            self._ends, self._kinds = None, (*kinds, (key.removed, REMOVED_COLOUR))
        # Levels are new with every picture, their few digits seldom, and to write them costs more.
        same_table = self._table is before[2]  # tables are shared by whoever asks for the same
        if (self._ends, self._kinds) == before[:2] and same_table:
            return
        if self._table is not None and not same_table:
            self._bar = rgb_image(self._table[LOWEST : HIGHEST + 1][None])
        if self.sizeHint() != self._hinted:
            self._hinted = self.sizeHint()
            self.updateGeometry()  # lays out the whole page
        self.update()

    def sizeHint(self) -> QSize:
        metrics = self.fontMetrics()
        names = [name for name, _ in self._kinds if name]
        width = sum(metrics.horizontalAdvance(text) for text in (*(self._ends or ()), *names))
        if self._ends is not None:
            width += _BAR_WIDTH + 52
        else:
            width += len(self._kinds) * (_SIDE + _GAP) + len(names) * 2 * _GAP
        return QSize(width, max(20, metrics.height() + 4))

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setPen(self.palette().text().color())
        x, top = 2, (self.height() - _SIDE) // 2
        if self._ends is not None:
            bar = QRect(self._text(painter, x, self._ends[0]), top, _BAR_WIDTH, _SIDE)
            painter.drawImage(bar, self._bar)
            x = self._text(painter, bar.right() + _GAP, self._ends[1]) + _GAP
        for name, colour in self._kinds:
            swatch = QRect(x, top, _SIDE, _SIDE)
            painter.fillRect(swatch, QColor(*colour))
            painter.drawRect(swatch)
            x = swatch.right() + _GAP
            if name:
                x = self._text(painter, x, name) + _GAP + 1

    def _text(self, painter: QPainter, x: int, text: str) -> int:
        width = painter.fontMetrics().horizontalAdvance(text)
        flags = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
        painter.drawText(QRect(x, 0, width + 2, self.height()), flags, text)
        return x + width + _GAP


def _ends(scale: Scale) -> tuple[str, str]:
    """The texts before and after the bar."""
    low, high = scale.low, scale.high
    if scale.texts is not None:
        first, last = scale.texts
    elif scale.colour in SYMMETRIC and high <= NOTHING:
        first, last = "", "all equal"
    elif scale.colour == "rank":
        first, last = f"{-low:.0f}th", "1st"
    elif scale.colour in SYMMETRIC:
        first, last = f"−{-low:.2g}", f"+{high:.2g}"
    else:
        first, last = f"{low:.4g}", f"{high:.4g}"
    return first, f"{last} log" if scale.log else last
