"""A picture of coloured cells that is zoomed and panned by wheel, mouse and keyboard."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyqtgraph as pg
from PySide6.QtCore import QEvent, QPointF, QRectF, Qt, QTimer, Signal, Slot
from PySide6.QtGui import QColor, QImage, QKeyEvent, QPainter, QPaintEvent, QRegion, QResizeEvent
from PySide6.QtWidgets import QGraphicsItem, QStyleOptionGraphicsItem, QWidget

from lbc.pictures.level_of_detail import Detail
from lbc.pictures.score_codes import Codes
from lbc_gui.heatmap.zoom_history import ZoomHistory
from lbc_gui.theme import plot_colours
from lbc_gui.widgets.plot import add_plot, style_plot

Table = npt.NDArray[np.uint8]
"""RGB of every code: uint8 (256, 3)."""

_ZOOM = 0.7
_PAN = 0.15
_TICK = 4

_STEPS = {
    Qt.Key.Key_Left: (-_PAN, 0.0),
    Qt.Key.Key_Right: (_PAN, 0.0),
    Qt.Key.Key_Up: (0.0, -_PAN),
    Qt.Key.Key_Down: (0.0, _PAN),
}


class Cells(pg.GraphicsObject):  # type: ignore[misc]
    """One rectangle of plain colour for each code.

    They become 32-bit pixels here: those Qt scales in one thread, and in a third of the time that
    codes with a table of colours take it on all processors, which are training.
    """

    def __init__(self) -> None:
        super().__init__()
        self._place = QRectF()
        self._image = QImage()
        self._pixels = np.empty((0, 0), np.uint32)
        self._table: Table | None = None
        self._colours = np.empty(0, np.uint32)
        self.codes: Codes = np.empty((0, 0), np.uint8)

    def show_part(self, part: Detail, table: Table) -> None:
        """Draw a part of the picture in the colours of ``table``."""
        place = QRectF(part.x, part.y, part.width, part.height)
        if place != self._place:
            self.prepareGeometryChange()
        if table is not self._table:
            self._table = table
            red, green, blue = table.astype(np.uint32).T
            self._colours = 0xFF000000 | red << 16 | green << 8 | blue
        # The image draws from these pixels, so both are kept.
        self.codes, self._place = part.codes, place
        self._pixels = self._colours.take(part.codes)
        height, width = part.codes.shape
        rgb = QImage.Format.Format_RGB32
        self._image = QImage(self._pixels.data, width, height, 4 * width, rgb)

    def clear(self) -> None:
        self.prepareGeometryChange()
        self._place, self._image = QRectF(), QImage()

    def boundingRect(self) -> QRectF:
        return self._place

    def paint(
        self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None
    ) -> None:
        if not self._image.isNull():
            painter.drawImage(self._place, self._image)


class _Sheet(QWidget):
    """Covers the cells and paints what is in the view box.

    A scene that paints asks everything in it, the axes too, for its bounds again and again, most of
    it in Python. A new picture in the same place needs none of that, and training has the time.
    """

    def __init__(self, view: CellsView) -> None:
        super().__init__(view.viewport())
        self._view = view
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)

    def cover(self, place: QRectF) -> None:
        """Cover this part of the view. The rest is masked, so that both count pixels alike."""
        self.setGeometry(self._view.viewport().rect())
        self.setMask(QRegion(place.toRect()))

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(event.rect(), QColor(*self._view.ground))
        painter.setRenderHints(self._view.renderHints())
        on_screen, option = self._view.viewportTransform(), QStyleOptionGraphicsItem()
        for item in self._view.items_in_box():
            painter.save()
            painter.setTransform(item.sceneTransform() * on_screen)
            item.paint(painter, option, self)
            painter.restore()


class CellsView(pg.GraphicsLayoutWidget):  # type: ignore[misc]
    """Draws no more cells than there are pixels; subclasses define what the cells are.

    After any change in the view box call ``refresh``: the scene does not paint it.
    """

    hovered = Signal(object)
    """What ``_cell_at`` finds, or None outside."""

    _styled = False

    def __init__(
        self, axes: dict[str, pg.AxisItem], across: str, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._sharpness = 1.0
        self.ground = (0, 0, 0)
        """RGB behind the cells."""
        self._plot = add_plot(self, **axes)
        for axis in axes.values():
            axis.setStyle(tickLength=_TICK)  # outwards: inwards they would cover cells
        self._plot.setLabel("left", "output channel")
        self._plot.setLabel("bottom", across)
        self._box = self._plot.getViewBox()
        self._box.invertY(True)
        self._box.setDefaultPadding(0)
        self.cells = Cells()
        self._box.addItem(self.cells, ignoreBounds=True)
        self._redraw = QTimer(self, singleShot=True)
        self._redraw.timeout.connect(self._draw)
        self._box.sigRangeChanged.connect(self._redraw_soon)
        self._box.sigRangeChanged.connect(self.refresh)
        self._box.sigResized.connect(self._redraw_soon)
        self.zooms = ZoomHistory(self._box, self)
        self._sheet = _Sheet(self)
        self._box.geometryChanged.connect(self._cover)
        self.scene().sigMouseMoved.connect(self._mouse_moved)
        self.scene().sigMouseClicked.connect(self._mouse_clicked)
        self.setFocusPolicy(Qt.FocusPolicy.WheelFocus)  # its keys work after zooming by wheel

    # -- for subclasses -------------------------------------------------------------------------

    @property
    def picture_size(self) -> tuple[int, int] | None:
        """Height and width of the whole picture in cells; None if there is no picture."""
        raise NotImplementedError

    def _draw(self) -> None:
        """Hand the visible part to ``cells``."""
        raise NotImplementedError

    def _found(self, row: int, column: int) -> Any:
        """The contents of a cell of the picture; None if it is empty."""
        raise NotImplementedError

    def _clicked(self, found: Any, event: Any) -> None:
        """The left button was clicked on something."""
        raise NotImplementedError

    # -- range ----------------------------------------------------------------------------------

    @Slot()
    def fit(self) -> None:
        """Show the whole layer."""
        if self.picture_size is not None:
            height, width = self.picture_size
            self._box.setRange(QRectF(0, 0, width, height), padding=0)
            self.zooms.moved()

    def zoom(self, factor: float) -> None:
        """Scale the visible range about its middle; below 1 zooms in."""
        self._box.scaleBy((factor, factor))
        self.zooms.moved()

    def sharpen(self, factor: float) -> None:
        """Draw the detail that a device of ``factor`` times the screen's pixels a side can show."""
        self._sharpness = factor
        self._draw()

    @property
    def view_range(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """First and last column, first and last row on screen."""
        (x0, x1), (y0, y1) = self._box.viewRange()
        return (x0, x1), (y0, y1)

    @property
    def pixels(self) -> tuple[int, int]:
        """Width and height of what is visible, in pixels of the device."""
        size, ratio = self._box.size(), self._sharpness * self.devicePixelRatioF()
        return int(size.width() * ratio), int(size.height() * ratio)

    def point_of(self, column: float, row: float) -> QPointF:
        """A point of the picture in this widget's pixels."""
        return QPointF(self.mapFromScene(self._box.mapViewToScene(QPointF(column, row))))

    # -- painting -------------------------------------------------------------------------------

    @Slot()
    def refresh(self, *_: Any) -> None:
        """Paint again what is in the view box."""
        self._sheet.update()

    def items_in_box(self) -> list[QGraphicsItem]:
        """The visible items of the view box, lowest first, at their present positions."""
        self._box.prepareForPaint()
        seen = [item for item in self._box.childGroup.childItems() if item.isVisible()]
        return sorted(seen, key=lambda item: item.zValue())

    @Slot()
    def _cover(self) -> None:
        scene = self.viewportTransform()
        self._sheet.cover(scene.mapRect(self._box.sceneBoundingRect()))

    # -- events ---------------------------------------------------------------------------------

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        super().resizeEvent(event)
        if event is not None and not self.closed:  # pyqtgraph also calls this before there is a box
            self._cover()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        match event.key():
            case Qt.Key.Key_Plus | Qt.Key.Key_Equal:
                self.zoom(_ZOOM)
            case Qt.Key.Key_Minus:
                self.zoom(1 / _ZOOM)
            case Qt.Key.Key_Home | Qt.Key.Key_0:
                self.fit()
            case Qt.Key.Key_Left | Qt.Key.Key_Right | Qt.Key.Key_Up | Qt.Key.Key_Down as key:
                (x0, x1), (y0, y1) = self.view_range
                across, down = _STEPS[Qt.Key(key)]
                self._box.translateBy(x=across * (x1 - x0), y=down * (y1 - y0))
                self.zooms.moved()
            case Qt.Key.Key_Backspace:
                self.zooms.back()
            case _:
                super().keyPressEvent(event)

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and self._styled:
            self._restyle()

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self.hovered.emit(None)

    @Slot()
    def _redraw_soon(self, *_: Any) -> None:
        self._redraw.start()

    def _cell_at(self, scene_position: QPointF) -> Any:
        if self.picture_size is None or not self._box.sceneBoundingRect().contains(scene_position):
            return None
        point = self._box.mapSceneToView(scene_position)
        height, width = self.picture_size
        if not (0 <= point.x() < width and 0 <= point.y() < height):
            return None
        return self._found(int(point.y()), int(point.x()))

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
        found = self._cell_at(event.scenePos())
        if found is not None:
            self._clicked(found, event)

    def _restyle(self) -> None:
        self._styled = True
        colours = plot_colours()
        ground = colours.background
        self.ground = (ground.red(), ground.green(), ground.blue())
        self.setBackground(ground)
        self.refresh()
        style_plot(self._plot, colours)
        for name in ("left", "bottom"):
            axis = self._plot.getAxis(name)
            axis.labelStyle["color"] = colours.text.name()
            axis.setLabel(axis.labelText)
        self._redraw_soon()
