"""The picture of one layer's weights: zoom, pan, hover, click. A cell is a weight."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyqtgraph as pg
from PySide6.QtCore import QEvent, QPointF, QRectF, Qt, QTimer, Signal, Slot
from PySide6.QtGui import QKeyEvent, QPainterPath
from PySide6.QtWidgets import QGraphicsPathItem, QGraphicsRectItem, QWidget

from lbc.inspection.picture import Codes
from lbc_gui.detail import detail
from lbc_gui.inspector.colours import Table
from lbc_gui.theme import plot_colours, style_plot

_ZOOM = 0.7
_PAN = 0.15

AROUND_COLUMNS, AROUND_ROWS = 2.5, 5
"""How many blocks at either side, and rows above and below, are shown around one block."""

BORDER_PIXELS = 10
"""Blocks are set apart as soon as a weight is this wide on the screen."""

MOST_MARKS = 300
"""Up to so many violations are ringed while their cells are too small to be seen."""


class _WholeAxis(pg.AxisItem):  # type: ignore[misc]
    """Ticks at whole numbers only."""

    def tickSpacing(self, low: float, high: float, size: float) -> list[tuple[float, float]]:
        spacings = [spacing for spacing, _ in super().tickSpacing(low, high, size)]
        return [(max(1.0, float(round(spacings[0]))), 0.0)] if spacings else []


class MaskView(pg.GraphicsLayoutWidget):  # type: ignore[misc]
    """Draws colour codes; only as many cells as there are pixels are ever handed to Qt."""

    hovered = Signal(object)
    """(row, column) of a weight, or None outside."""
    clicked = Signal(object)
    """(row, column) of a weight."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._codes: Codes | None = None
        self._table: Table | None = None
        self._m = 0
        self._sharpness = 1.0
        axes = {name: _WholeAxis(name) for name in ("left", "bottom")}
        self._plot = self.addPlot(axisItems=axes)
        self._plot.setMenuEnabled(False)
        self._plot.hideButtons()
        self._plot.setLabel("left", "output channel")
        self._plot.setLabel("bottom", "weight of the channel")
        self._box = self._plot.getViewBox()
        self._box.invertY(True)
        self._box.setDefaultPadding(0)
        self._image = pg.ImageItem(axisOrder="row-major")
        self._box.addItem(self._image)
        self._borders = QGraphicsPathItem()
        self._frame, self._halo = QGraphicsRectItem(), QGraphicsRectItem()
        for item, above in ((self._borders, 5), (self._halo, 9), (self._frame, 10)):
            item.setZValue(above)
            self._box.addItem(item, ignoreBounds=True)
        self._marks = pg.ScatterPlotItem(size=13, brush=None)
        self._marks.setZValue(8)
        self._box.addItem(self._marks, ignoreBounds=True)
        self._redraw = QTimer(self)
        self._redraw.setSingleShot(True)
        self._redraw.setInterval(0)
        self._redraw.timeout.connect(self._draw)
        self._box.sigRangeChanged.connect(self._redraw_soon)
        self._box.sigResized.connect(self._redraw_soon)
        self.scene().sigMouseMoved.connect(self._mouse_moved)
        self.scene().sigMouseClicked.connect(self._mouse_clicked)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName("Mask picture")
        self.frame(None)
        self._restyle()

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
        self._draw()

    def show_marks(self, rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64]) -> None:
        """Ring places that would be hard to find, unless there are many of them."""
        few = len(rows) <= MOST_MARKS
        self._marks.setData(columns if few else [], rows if few else [])
        self._redraw_soon()

    def clear_picture(self) -> None:
        """Nothing to show."""
        self._codes = None
        self._image.clear()
        self._marks.clear()
        self.frame(None)

    @Slot()
    def fit(self) -> None:
        """Show the whole layer."""
        if self._codes is not None:
            height, width = self._codes.shape
            self._box.setRange(xRange=(0, width), yRange=(0, height), padding=0)

    def zoom(self, factor: float) -> None:
        """Scale around the middle; below 1 shows less."""
        self._box.scaleBy((factor, factor))

    def frame(self, place: tuple[int, int, int] | None) -> None:
        """Frame a block: its row, first column and M; None frames nothing."""
        for item in (self._frame, self._halo):
            item.setVisible(place is not None)
            if place is not None:
                row, column, m = place
                item.setRect(QRectF(column, row, m, 1))

    def zoom_to(self, row: int, column: int, m: int) -> None:
        """Show a block with its neighbours, and frame it."""
        self.frame((row, column, m))
        x, y = m * AROUND_COLUMNS, AROUND_ROWS
        self._box.setRange(
            xRange=(column - x, column + m + x), yRange=(row - y, row + 1 + y), padding=0
        )

    def sharpen(self, factor: float) -> None:
        """Draw the detail that a device of ``factor`` times the screen's pixels a side can show."""
        self._sharpness = factor
        self._draw()

    def cell_centre(self, row: int, column: int) -> QPointF:
        """Where a weight is drawn, in pixels of this widget."""
        point = self._box.mapViewToScene(QPointF(column + 0.5, row + 0.5))
        return QPointF(self.mapFromScene(point))

    @property
    def view_range(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """First and last column, first and last row on screen."""
        (x0, x1), (y0, y1) = self._box.viewRange()
        return (x0, x1), (y0, y1)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        match event.key():
            case Qt.Key.Key_Plus | Qt.Key.Key_Equal:
                self.zoom(_ZOOM)
            case Qt.Key.Key_Minus:
                self.zoom(1 / _ZOOM)
            case Qt.Key.Key_Home | Qt.Key.Key_0:
                self.fit()
            case Qt.Key.Key_Left | Qt.Key.Key_Right | Qt.Key.Key_Up | Qt.Key.Key_Down:
                self._pan(event.key())
            case _:
                super().keyPressEvent(event)

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and hasattr(self, "_redraw"):
            self._restyle()

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self.hovered.emit(None)

    def _pan(self, key: int) -> None:
        (x0, x1), (y0, y1) = self._box.viewRange()
        step = {
            Qt.Key.Key_Left: (-_PAN, 0.0),
            Qt.Key.Key_Right: (_PAN, 0.0),
            Qt.Key.Key_Up: (0.0, -_PAN),
            Qt.Key.Key_Down: (0.0, _PAN),
        }[Qt.Key(key)]
        self._box.translateBy(x=step[0] * (x1 - x0), y=step[1] * (y1 - y0))

    @Slot()
    def _redraw_soon(self, *_: Any) -> None:
        self._redraw.start()

    @Slot()
    def _draw(self) -> None:
        if self._codes is None:
            return
        (x0, x1), (y0, y1) = self._box.viewRange()
        ratio, size = self._sharpness * self.devicePixelRatioF(), self._box.size()
        width, height = int(size.width() * ratio), int(size.height() * ratio)
        part = detail(self._codes, x0, y0, x1, y1, width, height)
        if part.codes.size == 0:
            return
        self._image.setImage(part.codes, levels=(0, 255), lut=self._table, autoDownsample=False)
        self._image.setRect(QRectF(part.x, part.y, part.width, part.height))
        wide = size.width() / max(1e-9, x1 - x0)
        self._marks.setVisible(wide < BORDER_PIXELS)
        self._draw_borders(x0, x1, y0, y1, wide)

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

    def _cell_at(self, scene_position: QPointF) -> tuple[int, int] | None:
        if self._codes is None or not self._box.sceneBoundingRect().contains(scene_position):
            return None
        point = self._box.mapSceneToView(scene_position)
        row, column = int(np.floor(point.y())), int(np.floor(point.x()))
        high, wide = self._codes.shape
        return (row, column) if 0 <= row < high and 0 <= column < wide else None

    @Slot(object)
    def _mouse_moved(self, position: QPointF) -> None:
        self.hovered.emit(self._cell_at(position))

    @Slot(object)
    def _mouse_clicked(self, event: Any) -> None:
        if event.button() != Qt.MouseButton.LeftButton:
            return
        if event.double():
            self.fit()
            return
        cell = self._cell_at(event.scenePos())
        if cell is not None:
            self.clicked.emit(cell)

    def _restyle(self) -> None:
        colours = plot_colours()
        self.setBackground(colours.background)
        style_plot(self._plot, colours)
        for name in ("left", "bottom"):
            axis = self._plot.getAxis(name)
            axis.labelStyle["color"] = colours.text.name()
            axis.setLabel(axis.labelText)
        self._borders.setPen(pg.mkPen(colours.background, width=2, cosmetic=True))
        self._frame.setPen(pg.mkPen("#ffd400", width=2.5, cosmetic=True))
        self._halo.setPen(pg.mkPen("#000000", width=5.5, cosmetic=True))
        self._marks.setPen(pg.mkPen("#f0781e", width=2))
        self._redraw_soon()
