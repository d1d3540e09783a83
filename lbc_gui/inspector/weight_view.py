"""The picture of one layer's weights: zoom, pan, hover, click. A cell is a weight."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyqtgraph as pg
from PySide6.QtCore import QPointF, QRectF, Signal, Slot
from PySide6.QtGui import QPainterPath
from PySide6.QtWidgets import QGraphicsPathItem, QGraphicsRectItem, QWidget

from lbc.inspection.picture import Codes
from lbc.pictures.level_of_detail import detail
from lbc_gui.heatmap.cells_view import CellsView, Table
from lbc_gui.inspector.colours import PLAIN_BROKEN
from lbc_gui.theme import BLACK, WHITE, plot_colours

AROUND_COLUMNS, AROUND_ROWS = 2.5, 5
"""How many blocks at either side, and rows above and below, are shown around one block."""

BORDER_PIXELS = 10
"""There are gaps between blocks once a weight is this wide on the screen."""

MOST_MARKS = 300
"""The most violations that are ringed while their cells are too small to be seen."""


class _WholeAxis(pg.AxisItem):  # type: ignore[misc]
    """Ticks at whole numbers only."""

    def tickSpacing(self, low: float, high: float, size: float) -> list[tuple[float, float]]:
        spacings = [spacing for spacing, _ in super().tickSpacing(low, high, size)]
        return [(max(1.0, float(round(spacings[0]))), 0.0)] if spacings else []


class WeightView(CellsView):
    """Draws colour codes, with gaps between blocks if there is room; one block can be framed."""

    clicked = Signal(object)
    """(row, column) of a weight."""

    def __init__(self, parent: QWidget | None = None) -> None:
        axes = {name: _WholeAxis(name) for name in ("left", "bottom")}
        super().__init__(axes, "weight of the channel", parent)
        self._codes: Codes | None = None
        self._table: Table | None = None
        self._m = 0
        self._borders = QGraphicsPathItem()
        self._frame, self._halo = QGraphicsRectItem(), QGraphicsRectItem()
        for item, above in ((self._borders, 5), (self._halo, 9), (self._frame, 10)):
            item.setZValue(above)
            self._box.addItem(item, ignoreBounds=True)
        self._marks = pg.ScatterPlotItem(size=13, brush=None)
        self._marks.setZValue(8)
        self._box.addItem(self._marks, ignoreBounds=True)
        self.setAccessibleName("Mask picture")
        self.setAccessibleDescription(
            "Each cell is a weight of the layer: kept, zero, or orange in a block that breaks N:M"
        )
        self.frame(None)
        self._restyle()

    @property
    def picture_size(self) -> tuple[int, int] | None:
        return None if self._codes is None else self._codes.shape

    def show_codes(self, codes: Codes, table: Table, m: int, keep_zoom: bool) -> None:
        """Draw codes (rows, columns) in the colours of ``table``; 0 for ``m`` draws no blocks."""
        self._codes, self._table, self._m = codes, table, m
        if not keep_zoom:
            height, width = codes.shape
            self._box.setLimits(
                xMin=0, xMax=width, yMin=0, yMax=height, minXRange=min(4, width), minYRange=1
            )
            self.frame(None)
            self.fit()
            self.zooms.clear()
        self._draw()

    def show_marks(self, rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64]) -> None:
        """Ring cells that would be hard to find."""
        self._marks.setData(columns, rows)
        self._redraw_soon()

    def clear_picture(self) -> None:
        """Nothing to show."""
        self._codes = None
        self.cells.clear()
        self._marks.clear()
        self.frame(None)

    def frame(self, place: tuple[int, int, int] | None) -> None:
        """Frame a block: its row, first column and M; None frames nothing."""
        for item in (self._frame, self._halo):
            item.setVisible(place is not None)
            if place is not None:
                row, column, m = place
                item.setRect(QRectF(column, row, m, 1))
        self.refresh()

    def zoom_to(self, row: int, column: int, m: int) -> None:
        """Show a block with its neighbours, and frame it."""
        self.frame((row, column, m))
        x, y = m * AROUND_COLUMNS, AROUND_ROWS
        self._box.setRange(
            xRange=(column - x, column + m + x), yRange=(row - y, row + 1 + y), padding=0
        )
        self.zooms.moved()

    def cell_centre(self, row: int, column: int) -> QPointF:
        """Where a weight is drawn, in pixels of this widget."""
        return self.point_of(column + 0.5, row + 0.5)

    @Slot()
    def _draw(self) -> None:
        if self._codes is None or self._table is None:
            return
        (x0, x1), (y0, y1) = self.view_range
        part = detail(self._codes, x0, y0, x1, y1, *self.pixels)
        if part.codes.size == 0:
            return
        self.cells.show_part(part, self._table)
        wide = self._box.size().width() / max(1e-9, x1 - x0)
        self._marks.setVisible(wide < BORDER_PIXELS)
        self._draw_borders(x0, x1, y0, y1, wide)
        self.refresh()

    def _draw_borders(self, x0: float, x1: float, y0: float, y1: float, wide: float) -> None:
        path = QPainterPath()
        if self._m and wide >= BORDER_PIXELS and self._codes is not None:
            high, columns = self._codes.shape
            top, bottom = max(0, int(y0)), min(high, int(np.ceil(y1)))
            first = max(0, int(x0) // self._m * self._m)
            for x in range(first, min(columns, int(np.ceil(x1))) + 1, self._m):
                path.moveTo(x, top)
                path.lineTo(x, bottom)
            for y in range(top, bottom + 1):
                path.moveTo(x0, y)
                path.lineTo(x1, y)
        self._borders.setPath(path)

    def _found(self, row: int, column: int) -> tuple[int, int]:
        return row, column

    def _clicked(self, found: tuple[int, int], event: Any) -> None:
        self.clicked.emit(found)

    def _restyle(self) -> None:
        super()._restyle()
        self._borders.setPen(pg.mkPen(plot_colours().background, width=2, cosmetic=True))
        self._frame.setPen(pg.mkPen(WHITE, width=2.5, cosmetic=True))
        self._halo.setPen(pg.mkPen(BLACK, width=5.5, cosmetic=True))
        self._marks.setPen(pg.mkPen(PLAIN_BROKEN, width=2))
