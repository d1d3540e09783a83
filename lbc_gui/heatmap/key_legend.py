"""What the colours of a picture mean: a bar of levels, or a swatch for each kind."""

from __future__ import annotations

from collections.abc import Iterable

from PySide6.QtCore import QRect, QSize, Qt, Slot
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QWidget

from lbc.pictures.colour_keys import RGB, Key, Scale, Swatches
from lbc.pictures.colour_tables import REMOVED_COLOUR
from lbc_gui.heatmap.scale_bar import ScaleBar

MOST_NAMED = 4
"""Kinds that all have room for their names; of more the first and the last are named."""

_SIDE = 12
_GAP = 6


class _SwatchRow(QWidget):
    """Coloured squares with a word each."""

    def __init__(self) -> None:
        super().__init__()
        self.setSizePolicy(QSizePolicy.Policy.Minimum, QSizePolicy.Policy.Fixed)
        self._kinds: tuple[tuple[str, RGB], ...] = ()

    def show_kinds(self, kinds: Iterable[tuple[str, RGB]]) -> None:
        self._kinds = tuple(kinds)
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        metrics = self.fontMetrics()
        texts = sum(metrics.horizontalAdvance(name) for name, _ in self._kinds)
        named = sum(bool(name) for name, _ in self._kinds)
        width = texts + len(self._kinds) * (_SIDE + _GAP) + named * 2 * _GAP
        return QSize(width, max(20, metrics.height() + 4))

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setPen(self.palette().text().color())
        x = 2
        for name, colour in self._kinds:
            swatch = QRect(x, (self.height() - _SIDE) // 2, _SIDE, _SIDE)
            painter.fillRect(swatch, QColor(*colour))
            painter.drawRect(swatch)
            if not name:
                x = swatch.right() + _GAP
                continue
            width = painter.fontMetrics().horizontalAdvance(name)
            box = QRect(swatch.right() + _GAP, 0, width + 2, self.height())
            painter.drawText(box, Qt.AlignmentFlag.AlignVCenter, name)
            x = box.right() + 2 * _GAP


class KeyLegend(QWidget):
    """Shows whichever kind of key a picture has."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSizePolicy(QSizePolicy.Policy.Minimum, QSizePolicy.Policy.Fixed)
        self._bar = ScaleBar()
        self._swatches = _SwatchRow()
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._bar)
        layout.addWidget(self._swatches)
        self._bar.hide()

    @Slot(object)
    def show_key(self, key: Key) -> None:
        self._bar.setVisible(isinstance(key, Scale))
        self._swatches.setVisible(isinstance(key, Swatches))
        if isinstance(key, Scale):
            self._bar.show_scale(key)
        elif isinstance(key, Swatches):
            names = list(key.names)
            if len(names) > MOST_NAMED:
                names[1:-1] = [""] * (len(names) - 2)
            kinds = zip(names, key.colours, strict=True)
            self._swatches.show_kinds([*kinds, (key.removed, REMOVED_COLOUR)])
