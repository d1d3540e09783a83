"""Many lines as one item of a plot, every extreme in its own column of pixels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import compress
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QLineF, QPointF, QRectF, Qt
from PySide6.QtGui import QBrush, QColor, QImage, QPainter, QPen, QPolygonF, QTransform
from PySide6.QtWidgets import QStyleOptionGraphicsItem, QWidget

from lbc.pictures.curve import Columns, Curve, Floats, Singles, distance_from_origin, envelope
from lbc.pictures.curve_means import Band
from lbc.pictures.line_pixels import Pixels, fill_spans
from lbc_gui.compare.curves_reader import Line
from lbc_gui.compare.pointer import PointedPlot
from lbc_gui.theme import faded, mixed, plot_colours
from lbc_gui.widgets.epoch_axis import EpochAxis
from lbc_gui.widgets.log_axis import ValueAxis

DOTTED, MOST_DOTTED = 40, 16
"""Points of a curve on screen up to which each has a dot, and the line is wider, if there are few
such curves: a wider line takes Qt fifteen times as long."""

SMOOTH_EDGED = 10_000
"""Points of all lines up to which their edges are smooth, which takes Qt several times as long."""

DIMMED, FAINT = 0.25, 0.4
"""How much of its colour a line keeps beside lit ones, and the raw line under a smoothed one."""

BAND_ALPHA = 45

RING = 3.5
"""Pixels from the middle to the edge of the mark where a fork begins."""


@dataclass(frozen=True)
class _Frame:
    """The part of the plot that is seen, in its coordinates and in pixels from its top left."""

    seen: QRectF
    width: float
    height: float
    columns: Columns

    def x(self, x: Floats) -> Floats:
        return (x - self.seen.left()) * (self.width / self.seen.width())

    def y(self, y: Singles | Floats) -> Floats:
        return (self.seen.bottom() - y.astype(np.float64)) * (self.height / self.seen.height())

    @property
    def transform(self) -> QTransform:
        """From pixels to the coordinates of the plot."""
        place = QTransform.fromTranslate(self.seen.left(), self.seen.bottom())
        return place.scale(self.seen.width() / self.width, -self.seen.height() / self.height)


class CurvesItem(pg.GraphicsObject):  # type: ignore[misc]
    """Lines by a key. While some are lit, the others are dimmed.

    Lines are drawn opaque and one pixel wide: anything else takes Qt many times as long; dense
    ones are filled by NumPy. Those that are not lit are kept as an image, so that lighting another
    line draws that line alone.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lines: dict[Path, Line] = {}
        self._colours: Mapping[Path, QColor] = {}
        self._lit: frozenset[Path] = frozenset()
        self._logarithmic = False
        self._frame: _Frame | None = None
        self._drawn: list[dict[Path, tuple[Floats, Floats]]] = []
        self._images: dict[bool, QImage] = {}
        self._images_of: object = None

    def show_lines(
        self, lines: Mapping[Path, Line], colours: Mapping[Path, QColor], logarithmic: bool
    ) -> None:
        """Draw these lines, on a logarithmic axis if all their values are positive."""
        self._lines, self._colours, self._logarithmic = dict(lines), colours, logarithmic
        self._images_of, self._drawn = None, []
        self.informViewBoundsChanged()
        self.update()

    def light(self, keys: frozenset[Path]) -> None:
        """Dim all lines but these."""
        lit = keys & self._lines.keys()
        if lit != self._lit:
            self._lit = lit
            self.update()

    def nearest(self, x: float, y: float, reach: float) -> Path | None:
        """The line that passes a position, in pixels of the view, at most ``reach`` away.

        A smoothed line is found by its raw one where no other is near, as at a spike.
        """
        if not self._drawn and self._frame:
            main = {key: line.own if line.drawn else line.main for key, line in self._lines.items()}
            raw = {key: line.raw for key, line in self._lines.items() if line.smoothed}
            self._drawn = [
                {key: self._trace(self._frame, curve) for key, curve in curves.items()}
                for curves in (main, raw)
            ]
        found = (_nearest(drawn, x, y, reach) for drawn in self._drawn)
        return next(filter(None, found), None)

    def dataBounds(
        self,
        axis: int,
        frac: float = 1.0,
        orthoRange: Any = None,  # noqa: N803
    ) -> tuple[float, float] | tuple[None, None]:
        """What pyqtgraph fits to the axis: of y, the extremes within the visible x."""
        curves = [line.raw for line in self._lines.values()]
        bands = [line.band for line in self._lines.values() if line.band]
        curves += [curve for band in bands for curve in (band.low, band.high)]
        if axis == 0:
            ends = [(float(curve.x[0]), float(curve.x[-1])) for curve in curves]
        else:
            low, high = orthoRange or (-np.inf, np.inf)
            found = (curve.extremes(low, high) for curve in curves)
            ends = [pair for pair in found if pair is not None]
        if not ends:
            return None, None
        low, high = min(end[0] for end in ends), max(end[1] for end in ends)
        if axis == 1 and self._logarithmic:
            low, high = float(np.log10(low)), float(np.log10(high))
        return low, high

    def pixelPadding(self) -> float:
        return 4

    def boundingRect(self) -> QRectF:
        return self.viewRect() or QRectF()

    def viewTransformChanged(self) -> None:
        self.prepareGeometryChange()
        super().viewTransformChanged()

    def paint(
        self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None
    ) -> None:
        box, seen = self.getViewBox(), self.viewRect()
        if not self._lines or not seen or not seen.width() or not seen.height():
            return
        ratio = painter.device().devicePixelRatioF()
        width, height = float(box.width()), float(box.height())
        if width <= 0 or height <= 0:  # a small window leaves no room between the axes
            return
        columns = Columns(seen.left(), seen.right(), max(1, ceil(width * ratio)))
        frame = _Frame(seen, width, height, columns)
        if self._frame is None or self._frame.seen != seen:
            self._frame, self._drawn = frame, []
        painter.save()
        if self._exportOpts:
            painter.setTransform(frame.transform, True)
            self._draw(painter, frame, self._lines.keys() - self._lit, bool(self._lit))
        else:
            corner = painter.transform().map(QPointF(seen.left(), seen.bottom()))
            painter.resetTransform()
            painter.translate(round(corner.x()), round(corner.y()))
            painter.drawImage(0, 0, self._others(frame, ratio))
        self._draw(painter, frame, self._lit, False)
        painter.restore()

    def _others(self, frame: _Frame, ratio: float) -> QImage:
        """The lines that are not lit; all, if they are dimmed: one that is lit covers its own."""
        dim, of = bool(self._lit), (frame.seen, frame.width, frame.height, ratio)
        if self._images_of != of:
            self._images, self._images_of = {}, of
        if dim not in self._images:
            size = (frame.columns.count, ceil(frame.height * ratio))
            image = QImage(*size, QImage.Format.Format_ARGB32_Premultiplied)
            image.setDevicePixelRatio(ratio)
            image.fill(Qt.GlobalColor.transparent)
            painter = QPainter(image)
            self._draw(painter, frame, self._lines, dim)
            painter.end()
            self._images[dim] = image
        return self._images[dim]

    def _draw(self, painter: QPainter, frame: _Frame, keys: Iterable[Path], dim: bool) -> None:
        chosen = set(keys)
        lines = [(key, line) for key, line in self._lines.items() if key in chosen]
        colours = {key: mixed(self._colours[key], DIMMED if dim else 1) for key in chosen}
        for key, line in lines:
            if line.band:
                self._draw_band(painter, frame, line.band, faded(colours[key], BAND_ALPHA))
        faint = {key: mixed(colours[key], FAINT) for key in chosen}
        raw = [(line.own_raw, faint[key]) for key, line in lines if line.smoothed]
        raw += [(line.parents, faint[key]) for key, line in lines if line.parents]
        self._draw_curves(painter, frame, raw, wide=False)
        main = [(line.own, colours[key]) for key, line in lines]
        self._draw_curves(painter, frame, main, wide=not dim and bool(self._lit))
        for key, line in lines:
            if line.shared:
                self._draw_fork(painter, frame, line.own, colours[key])

    def _draw_curves(
        self, painter: QPainter, frame: _Frame, curves: list[tuple[Curve, QColor]], wide: bool
    ) -> None:
        """Dense curves, and the others above them."""
        dense = [
            not self._exportOpts and frame.columns.divide(curve.x).dense for curve, _ in curves
        ]
        if any(dense):
            picture = self._dense_picture(frame, compress(curves, dense), wide)
            height, width = picture.shape
            image = QImage(picture.data, width, height, QImage.Format.Format_ARGB32_Premultiplied)
            image.setDevicePixelRatio(width / frame.width)
            painter.drawImage(0, 0, image)
        for (curve, colour), done in zip(curves, dense, strict=True):
            if not done:
                _draw_line(painter, *self._trace(frame, curve), colour, wide, len(curves))
            if curve.first_gap:
                self._draw_end(painter, frame, curve, colour)

    def _trace(self, frame: _Frame, curve: Curve) -> tuple[Floats, Floats]:
        x, y = curve.trace(frame.columns)
        return frame.x(x), frame.y(self._scaled(y))

    def _dense_picture(
        self, frame: _Frame, curves: Iterable[tuple[Curve, QColor]], wide: bool
    ) -> Pixels:
        ratio = frame.columns.count / frame.width
        shown = list(curves)
        spans = np.array([curve.spans(frame.columns) for curve, _ in shown])
        bottoms, tops = ratio * frame.y(self._scaled(spans)).swapaxes(0, 1)
        colours = [colour.rgba() for _, colour in shown]
        return fill_spans(ceil(frame.height * ratio), tops, bottoms, colours, wide)

    def _draw_fork(self, painter: QPainter, frame: _Frame, own: Curve, colour: QColor) -> None:
        """A ring where a fork leaves its parent."""
        (x,), (y,) = frame.x(own.x[:1]), frame.y(self._scaled(own.y[:1]))
        if np.isfinite(y):
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(QPen(colour, 1.5))
            painter.setBrush(plot_colours().background)
            painter.drawEllipse(QPointF(x, y), RING, RING)

    def _draw_end(self, painter: QPainter, frame: _Frame, curve: Curve, colour: QColor) -> None:
        """A cross where a curve ceases to be finite."""
        at = slice(curve.first_gap - 1, curve.first_gap) if curve.first_gap else slice(0)
        (x,), (y,) = frame.x(curve.x[at]), frame.y(self._scaled(curve.y[at]))
        painter.setPen(QPen(colour, 1.5))
        painter.drawLines([QLineF(x - 4, y - 4, x + 4, y + 4), QLineF(x - 4, y + 4, x + 4, y - 4)])

    def _draw_band(self, painter: QPainter, frame: _Frame, band: Band, colour: QColor) -> None:
        xs, lows, highs = envelope(band.low, band.high, frame.columns)
        x, low, high = frame.x(xs), frame.y(self._scaled(lows)), frame.y(self._scaled(highs))
        low = np.where(np.isnan(low), frame.height + 1, low)  # not positive, on a logarithmic axis
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QBrush(colour))
        for run in _runs(~np.isnan(high)):
            outline = np.concatenate([high[run], low[run][::-1]])
            there = np.concatenate([x[run], x[run][::-1]])
            painter.drawPolygon(pg.functions.arrayToQPolygonF(there, outline))
        painter.setBrush(Qt.BrushStyle.NoBrush)

    def _scaled(self, y: Singles | Floats) -> Singles | Floats:
        return np.log10(y) if self._logarithmic else y


def _nearest(
    drawn: Mapping[Path, tuple[Floats, Floats]], x: float, y: float, reach: float
) -> Path | None:
    best, found = reach, None
    for key, (xs, ys) in drawn.items():
        first, last = np.searchsorted(xs, [x - reach, x + reach])
        near = slice(max(int(first) - 1, 0), int(last) + 1)
        distance = distance_from_origin(xs[near] - x, ys[near] - y)
        if distance < best:
            best, found = distance, key
    return found


def _draw_line(
    painter: QPainter, x: Floats, y: Floats, colour: QColor, wide: bool, count: int
) -> None:
    """One of ``count`` lines that are drawn."""
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, count * len(x) <= SMOOTH_EDGED)
    pieces = list(_pieces(x, y))
    dotted = count <= MOST_DOTTED and len(x) <= DOTTED
    painter.setPen(QPen(colour, 1.5 if dotted else 1))
    for piece in pieces:
        painter.drawPolyline(piece)
        if wide:
            painter.drawPolyline(piece.translated(0, 1))
    pen = QPen(colour, 6 if wide else 5)
    pen.setCapStyle(Qt.PenCapStyle.RoundCap)
    painter.setPen(pen)
    for piece in pieces:
        if dotted or piece.size() == 1:
            painter.drawPoints(piece)


def _pieces(x: Floats, y: Floats) -> Iterator[QPolygonF]:
    """A line without its gaps."""
    for run in _runs(~np.isnan(y)):
        yield pg.functions.arrayToQPolygonF(x[run], y[run])


def _runs(true: np.ndarray[Any, np.dtype[np.bool_]]) -> Iterator[slice]:
    """Where an array is true without interruption."""
    if true.all():
        yield slice(0, len(true))
        return
    changes = np.flatnonzero(np.diff(true, prepend=False, append=False))
    for first, last in changes.reshape(-1, 2).tolist():
        yield slice(first, last)


class CurvesBox(pg.ViewBox):  # type: ignore[misc]
    """The wheel zooms along x, and over the axis of the values along y, which else fits itself."""

    def __init__(self) -> None:
        super().__init__(enableMenu=False)
        self.setAutoVisible(y=True)
        self.sigXRangeChanged.connect(self._fit_values)

    def _fit_values(self, *_: object) -> None:
        """pyqtgraph does so itself only as long as x fits itself too."""
        self.queueUpdateAutoRange()

    def wheelEvent(self, event: Any, axis: int | None = None) -> None:
        super().wheelEvent(event, 0 if axis is None else axis)

    def mouseDoubleClickEvent(self, event: Any) -> None:
        self.enableAutoRange()


class CurvesPlot(PointedPlot):
    """A plot of curves, whose grid is behind them."""

    def __init__(self) -> None:
        super().__init__("Curves of the runs")
        self.value_axis, self.item = ValueAxis("left"), CurvesItem()
        axes = {"left": self.value_axis, "bottom": EpochAxis()}
        self.plot = self.addPlot(axisItems=axes, viewBox=CurvesBox(), enableMenu=False)
        self.plot.hideButtons()
        for axis in axes.values():
            axis.setZValue(-1000)
            axis.enableAutoSIPrefix(False)
            axis.setStyle(maxTickLevel=1)  # its finest lines would take a tenth of the time
        self.plot.addItem(self.item)
