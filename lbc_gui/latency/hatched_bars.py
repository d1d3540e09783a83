"""Bars of estimates: hatched, so that they are not taken for measured ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QBrush, QColor, QPainter, QPolygonF, QTransform

from lbc_gui.latency.keyed_plot import Floats

DENSE, SPARSE = Qt.BrushStyle.FDiagPattern, Qt.BrushStyle.DiagCrossPattern


class HatchedBars(pg.BarGraphItem):  # type: ignore[misc]
    """Bars from ``low`` to ``high``, outlined and hatched in one colour."""

    def __init__(
        self, x: Floats, low: Floats, high: Floats, width: float, colour: QColor,
        pattern: Qt.BrushStyle,
    ) -> None:  # fmt: skip
        pen, brush = pg.mkPen(colour), QBrush(colour, pattern)
        super().__init__(x=x, y0=low, height=high - low, width=width, pen=pen, brush=brush)

    def paint(self, painter: QPainter, *_: Any) -> None:
        """Draw in pixels: the axes would stretch the hatching, also in SVG."""
        axes = painter.worldTransform()
        painter.setWorldTransform(QTransform())
        painter.setPen(self._sharedPen)
        painter.setBrush(self._sharedBrush)
        painter.drawRects([axes.mapRect(rect) for rect in self._rectarray.instances()])
        painter.setWorldTransform(axes)


class HatchedBand(pg.GraphicsObject):  # type: ignore[misc]
    """The area between two curves, hatched; where one of them is nan there is none."""

    def __init__(
        self, x: Floats, low: Floats, high: Floats, colour: QColor, pattern: Qt.BrushStyle
    ) -> None:
        super().__init__()
        known = np.isfinite(low) & np.isfinite(high)
        x, low, high = x[known], low[known], high[known]
        points = [*zip(x, low, strict=True), *zip(x[::-1], high[::-1], strict=True)]
        self._area = QPolygonF([QPointF(*point) for point in points])
        self._brush = QBrush(colour, pattern)

    def boundingRect(self) -> QRectF:
        return self._area.boundingRect()

    def paint(self, painter: QPainter, *_: Any) -> None:
        axes = painter.worldTransform()
        painter.setWorldTransform(QTransform())
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._brush)
        painter.drawPolygon(axes.map(self._area))
        painter.setWorldTransform(axes)
