"""The colours of the mask picture and of a difference, and the legend that names them."""

from __future__ import annotations

import numpy as np
from cmap import Colormap
from PySide6.QtCore import QRect, QSize, Qt
from PySide6.QtGui import QColor, QImage, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from lbc.inspection.picture import BROKEN, KEPT, ONLY_FIRST, ONLY_SECOND, SHADES, ZERO
from lbc.pictures.colour_tables import REMOVED_COLOUR
from lbc_gui.heatmap.cells_view import Table

FIRST, SECOND = (86, 180, 233), (230, 159, 0)
"""Sky blue and orange of Okabe and Ito, distinct from every grey."""

PLAIN, PLAIN_BROKEN = (134, 182, 225), (240, 120, 30)

_BAR_WIDTH = 72
_HEIGHT = 12


def weight_table() -> Table:
    """|w| in blues, zeros in the colour of removed weights, violations in oranges."""
    table = np.zeros((256, 3), dtype=np.uint8)
    table[ZERO] = REMOVED_COLOUR
    table[KEPT : KEPT + SHADES] = _shades("crameri:oslo", 0.38, 0.92)
    table[BROKEN : BROKEN + SHADES] = _between((196, 72, 0), (255, 190, 96))
    return table


def mask_table() -> Table:
    """Kept or zero, regardless of the weight."""
    table = weight_table()
    table[KEPT : KEPT + SHADES] = PLAIN
    table[BROKEN : BROKEN + SHADES] = PLAIN_BROKEN
    return table


def difference_table() -> Table:
    """|difference| in greys where both keep the weight; flipped positions in two colours."""
    table = np.zeros((256, 3), dtype=np.uint8)
    table[ZERO] = REMOVED_COLOUR
    table[KEPT:ONLY_FIRST] = (255, 255, 255)
    table[KEPT : KEPT + SHADES] = _between((96, 99, 105), (255, 255, 255))
    table[ONLY_FIRST], table[ONLY_SECOND] = FIRST, SECOND
    return table


def _shades(name: str, low: float, high: float) -> Table:
    shades = Colormap(name)(np.linspace(low, high, SHADES))[:, :3]
    return np.round(shades * 255).astype(np.uint8)


def _between(low: tuple[int, int, int], high: tuple[int, int, int]) -> Table:
    share = np.linspace(0, 1, SHADES)[:, None]
    return np.round(np.array(low) * (1 - share) + np.array(high) * share).astype(np.uint8)


class Legend(QWidget):
    """Swatches with their names, and a bar from 0 to the brightest level."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSizePolicy(QSizePolicy.Policy.Minimum, QSizePolicy.Policy.Fixed)
        self._bar: tuple[str, QImage, str] | None = None
        self._swatches: tuple[tuple[tuple[int, int, int], str], ...] = ()

    def show_weights(self, top: float) -> None:
        """Show the legend of the |w| picture."""
        self._show(("|w| 0", weight_table(), f"{top:.3g}"), (
            (REMOVED_COLOUR, "zero"), (PLAIN_BROKEN, "in a violation"),
        ))  # fmt: skip

    def show_mask(self) -> None:
        """Show the legend of the mask."""
        self._show(None, (
            (PLAIN, "kept"), (REMOVED_COLOUR, "zero"), (PLAIN_BROKEN, "in a violation"),
        ))  # fmt: skip

    def show_difference(self, top: float) -> None:
        """Show the legend of the difference between two checkpoints."""
        self._show(("|Δ| 0", difference_table(), f"{top:.3g}"), (
            (FIRST, "first only"), (SECOND, "second only"), (REMOVED_COLOUR, "zero"),
        ))  # fmt: skip

    def sizeHint(self) -> QSize:
        metrics = self.fontMetrics()
        width = 4
        if self._bar is not None:
            low, _, high = self._bar
            texts = metrics.horizontalAdvance(low) + metrics.horizontalAdvance(high)
            width += texts + _BAR_WIDTH + 22
        for _, name in self._swatches:
            width += _HEIGHT + metrics.horizontalAdvance(name) + 18
        return QSize(width, max(20, metrics.height() + 4))

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setPen(self.palette().text().color())
        x, top = 2, (self.height() - _HEIGHT) // 2
        if self._bar is not None:
            low, image, high = self._bar
            x = self._text(painter, x, low)
            painter.drawImage(QRect(x, top, _BAR_WIDTH, _HEIGHT), image)
            x = self._text(painter, x + _BAR_WIDTH + 6, high) + 4
        for colour, name in self._swatches:
            swatch = QRect(x, top, _HEIGHT, _HEIGHT)
            painter.fillRect(swatch, QColor(*colour))
            painter.drawRect(swatch)
            x = self._text(painter, x + _HEIGHT + 6, name) + 4

    def _show(
        self,
        bar: tuple[str, Table, str] | None,
        swatches: tuple[tuple[tuple[int, int, int], str], ...],
    ) -> None:
        self._bar = None
        if bar is not None:
            low, table, high = bar
            row = np.ascontiguousarray(table[KEPT : KEPT + SHADES].reshape(1, -1, 3))
            image = QImage(row.tobytes(), SHADES, 1, row.nbytes, QImage.Format.Format_RGB888)
            self._bar = (low, image.copy(), high)
        self._swatches = swatches
        self.updateGeometry()
        self.update()

    def _text(self, painter: QPainter, x: int, text: str) -> int:
        width = painter.fontMetrics().horizontalAdvance(text)
        flags = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
        painter.drawText(QRect(x, 0, width + 2, self.height()), flags, text)
        return x + width + 6
