"""What the colours of the heatmap mean: a bar with its levels, and the removed look."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QRect, QSize, Qt
from PySide6.QtGui import QColor, QImage, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from lbc.pictures.colour_keys import Scale
from lbc.pictures.colour_tables import REMOVED_COLOUR
from lbc.pictures.score_codes import HIGHEST, LOWEST, NOTHING, SYMMETRIC, Codes

_BAR_WIDTH = 96
_BAR_HEIGHT = 12


class ScaleBar(QWidget):
    """A horizontal colour bar between its lowest and highest level."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSizePolicy(QSizePolicy.Policy.Minimum, QSizePolicy.Policy.Fixed)
        self._texts = ("", "")
        self._removed = ""
        self._table: Codes | None = None
        self._bar = QImage()
        self._hinted = QSize()
        self.show_scale(Scale("difference", -1.0, 1.0))

    def show_scale(self, scale: Scale) -> None:
        """The bar of ``scale``, from its lowest to its highest level."""
        texts, table = _ends(scale), scale.table((0, 0, 0))
        # Levels are new with every picture, their few digits seldom, and to write them costs more.
        if (texts, scale.removed) == (self._texts, self._removed) and table is self._table:
            return
        self._texts, self._removed = texts, scale.removed
        if table is not self._table:  # tables are shared by whoever asks for the same
            self._table = table
            self._bar = _strip(table)
        if self.sizeHint() != self._hinted:
            self._hinted = self.sizeHint()
            self.updateGeometry()  # lays out the whole page
        self.update()

    def sizeHint(self) -> QSize:
        metrics = self.fontMetrics()
        texts = sum(metrics.horizontalAdvance(text) for text in (*self._texts, self._removed))
        return QSize(texts + _BAR_WIDTH + 52, max(20, metrics.height() + 4))

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setPen(self.palette().text().color())
        x, middle = 2, self.height() // 2
        x = self._text(painter, x, self._texts[0])
        bar = QRect(x, middle - _BAR_HEIGHT // 2, _BAR_WIDTH, _BAR_HEIGHT)
        painter.drawImage(bar, self._bar)
        x = self._text(painter, bar.right() + 6, self._texts[1])
        if not self._removed:
            return
        swatch = QRect(x + 6, middle - _BAR_HEIGHT // 2, _BAR_HEIGHT, _BAR_HEIGHT)
        painter.fillRect(swatch, QColor(*REMOVED_COLOUR))
        painter.drawRect(swatch)
        self._text(painter, swatch.right() + 6, self._removed)

    def _text(self, painter: QPainter, x: int, text: str) -> int:
        width = painter.fontMetrics().horizontalAdvance(text)
        flags = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
        painter.drawText(QRect(x, 0, width + 2, self.height()), flags, text)
        return x + width + 6


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


def _strip(table: Codes) -> QImage:
    """The colours of all levels, from the lowest to the highest."""
    colours = np.ascontiguousarray(table[LOWEST : HIGHEST + 1].reshape(1, -1, 3))
    width = colours.shape[1]
    rgb = QImage.Format.Format_RGB888
    return QImage(colours.tobytes(), width, 1, colours.nbytes, rgb).copy()
