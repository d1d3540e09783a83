"""An axis whose grid is opaque."""

from __future__ import annotations

from typing import Any

import pyqtgraph as pg
from PySide6.QtGui import QColor, QPainter, QPen

from lbc_gui.theme import mixed


class GridAxis(pg.AxisItem):  # type: ignore[misc]
    """Draws its grid as faint as pyqtgraph does: blending the lines takes Qt twice as long."""

    def generateDrawSpecs(self, painter: QPainter) -> Any:
        specs = super().generateDrawSpecs(painter)
        if specs is None:
            return None
        line, ticks, texts = specs
        pens: dict[int, QPen] = {}
        for pen, _, _ in ticks:
            colour = pen.color()
            if colour.alpha() not in pens:
                opaque = QColor(colour.red(), colour.green(), colour.blue())
                pens[colour.alpha()] = QPen(mixed(opaque, colour.alphaF()), pen.widthF())
        return line, [(pens[pen.color().alpha()], *ends) for pen, *ends in ticks], texts
