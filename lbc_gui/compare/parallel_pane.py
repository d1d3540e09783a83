"""Parallel coordinates: what was chosen differently in the runs, and what came of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PySide6.QtCore import QEvent, QLineF, QPointF, QRectF, QSize, Qt, Slot
from PySide6.QtGui import (
    QColor,
    QMouseEvent,
    QPaintEngine,
    QPainter,
    QPaintEvent,
    QPen,
    QPolygonF,
    QShowEvent,
)
from PySide6.QtWidgets import QWidget

from lbc.library.columns import Numbers
from lbc.library.differences import label_runs
from lbc.library.run_summary import RunSummary
from lbc.library.run_values import AxisValues, RunValues
from lbc.pictures.curve import distance_from_origin
from lbc_gui.compare.pointer import RunPointer
from lbc_gui.compare.run_selection import RunSelection, Selection
from lbc_gui.export.view_export import Data, as_csv
from lbc_gui.export.view_renderer import Picture
from lbc_gui.theme import colours, faded, mixed, plot_colours

MOST_AXES = 12
MOST_NAMED = 10
"""Categories up to which all are written beside their axis."""

TOP, BOTTOM, SIDE = 44, 40, 70
"""Pixels around the axes."""

MISSING = 24
"""Pixels below an axis where the runs without a value pass."""

REACH = 6
"""Pixels from the pointer within which a line or an axis is found."""

DIMMED = 0.25
"""Share of its colour in a line that is not lit. It is opaque: else Qt takes five times as long."""

MOST_WIDE = 16
"""Lit lines up to which they are wider: more would cover one another."""


class ParallelPane(QWidget):
    """One line per run. A range dragged on an axis selects the runs within it."""

    def __init__(self, selection: RunSelection) -> None:
        super().__init__()
        self._selection = selection
        self._pointer = RunPointer(selection, self)
        self._runs: tuple[RunSummary, ...] = ()
        self._labels: tuple[str, ...] = ()
        self._axes: tuple[AxisValues, ...] = ()
        self._left_out = 0
        self._shares = np.empty((0, 0))
        self._brushes: dict[str, tuple[float, float]] = {}
        self._dragged: tuple[int, float] | None = None
        self.setMouseTracking(True)
        self.setAccessibleName("Parallel coordinates of the runs")
        self.setAccessibleDescription(
            "A line for each run, across an axis for each setting that differs and the results"
        )
        selection.changed.connect(self._show_selection)

    def sizeHint(self) -> QSize:
        return QSize(640, 320)

    def picture_to_save(self) -> Picture | None:
        title = f"Parallel coordinates of {len(self._runs)} runs"
        return Picture("parallel coordinates", title, self) if self._axes else None

    def data_to_save(self) -> Data | None:
        """One row per run, one column per axis."""
        if not self._axes:
            return None
        rows = [
            (run.title, str(run.folder), *(axis.text(at) for axis in self._axes))
            for at, run in enumerate(self._runs)
        ]
        columns = ("run", "folder", *(axis.title for axis in self._axes))
        writer = as_csv(columns, len(rows), rows)
        return Data("parallel coordinates", {".csv": writer})

    def place(self, axis: int, share: float) -> QPointF:
        """Where a place of an axis is, from 0 at its lower end to 1 at its upper one."""
        width = self.width() - 2 * SIDE
        x = SIDE + width * (axis / (len(self._axes) - 1) if len(self._axes) > 1 else 0.5)
        return QPointF(x, TOP + (1 - share) * self._height)

    @property
    def _height(self) -> int:
        return max(1, self.height() - TOP - BOTTOM)

    # -- the runs ------------------------------------------------------------------------------

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._show_runs()

    @Slot(object, object)
    def _show_selection(self, before: Selection, now: Selection) -> None:
        if now.selected != self._within_brushes():
            self._brushes = {}  # something else was selected elsewhere
        if now.compared != before.compared:
            self._show_runs()
        self.update()

    def _show_runs(self) -> None:
        """Place the runs on the axes; while the pane is hidden, nothing is computed."""
        if not self.isVisible():
            return
        self._runs = self._selection.selection.compared
        values = RunValues(self._runs, {})
        names = values.differing
        self._left_out = max(0, len(names) - MOST_AXES)
        shown = (*names[: MOST_AXES // 2], *names[-MOST_AXES // 2 :]) if self._left_out else names
        self._axes = tuple(map(values.axis, shown))
        self._labels = label_runs([run.parameters for run in self._runs])
        shares = [_shares(axis) for axis in self._axes]
        self._shares = np.array(shares).reshape(len(shares), len(self._runs))
        self.update()

    def _within_brushes(self) -> frozenset[Path]:
        """The runs within every range; none without a range."""
        if not self._brushes:
            return frozenset()
        inside = np.ones(len(self._runs), dtype=bool)
        for at, axis in enumerate(self._axes):
            if axis.name in self._brushes:
                low, high = self._brushes[axis.name]
                inside &= (self._shares[at] >= low) & (self._shares[at] <= high)
        return frozenset(self._runs[at].folder for at in np.flatnonzero(inside))

    # -- the picture ---------------------------------------------------------------------------

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange:
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect(), plot_colours().background)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if not self._axes:
            painter.setPen(plot_colours().text)
            text = "The runs that are compared do not differ." if self._runs else "No run is shown."
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, text)
        self._draw_runs(painter, dimmed=True)
        for at in range(len(self._axes)):
            self._draw_axis(painter, at)
        self._draw_runs(painter, dimmed=False)
        for at in range(len(self._axes)):
            self._draw_words(painter, at)
        if self._left_out:
            painter.setPen(colours().caption)
            place = QRectF(0, self.height() - 16, self.width(), 16)
            text = f"{self._left_out} other settings differ too."
            painter.drawText(place, Qt.AlignmentFlag.AlignCenter, text)
        painter.end()

    def _draw_runs(self, painter: QPainter, dimmed: bool) -> None:
        """Draw those that are dimmed, or all others. All lines of a colour are drawn at once: each
        call of Qt lets threads that compute in Python take a turn."""
        now, of = self._selection.selection, self._selection.colours
        lit = now.selected if now.hovered is None else {now.hovered}
        of_colour: dict[int, list[Numbers]] = {}
        for run, line in zip(self._runs, self._lines(), strict=True):
            if dimmed == (bool(lit) and run.folder not in lit):
                of_colour.setdefault(of.of(run.folder).rgba(), []).append(line)
        for rgba, lines in of_colour.items():
            colour = QColor.fromRgba(rgba)
            pen = QPen(mixed(colour, DIMMED) if dimmed else colour, 1)
            if lit and not dimmed and len(lit) <= MOST_WIDE:
                pen.setWidth(2)
            pen.setCapStyle(Qt.PenCapStyle.FlatCap)  # where parts overlap, they would be darker
            painter.setPen(pen)
            _draw_lines(painter, np.stack(lines))

    def _lines(self) -> Numbers:
        """Where the runs pass the axes, in pixels: (runs, axes, 2)."""
        x = [self.place(axis, 0).x() for axis in range(len(self._axes))]
        y = TOP + (1 - np.nan_to_num(self._shares.T, nan=-MISSING / self._height)) * self._height
        return np.stack((np.broadcast_to(x, y.shape), y), axis=-1)

    def _draw_axis(self, painter: QPainter, at: int) -> None:
        painter.setPen(QPen(plot_colours().text, 1))
        painter.drawLine(self.place(at, 0), self.place(at, 1))
        if self._axes[at].name in self._brushes:
            low, high = self._brushes[self._axes[at].name]
            top, bottom = self.place(at, high), self.place(at, low)
            band = QRectF(top.x() - REACH, top.y(), 2 * REACH, bottom.y() - top.y())
            painter.fillRect(band, faded(plot_colours().blue, 90))

    def _draw_words(self, painter: QPainter, at: int) -> None:
        """The title above an axis, and beside it what its places mean."""
        axis, width = self._axes[at], self.width() / max(1, len(self._axes)) - 8
        top = self.place(at, 1)
        centre, metrics = Qt.AlignmentFlag.AlignCenter, painter.fontMetrics()
        painter.setPen(plot_colours().text)
        title = metrics.elidedText(axis.title, Qt.TextElideMode.ElideMiddle, round(width))
        painter.drawText(QRectF(top.x() - width / 2, 4, width, 18), centre, title)
        for share, text in _words(axis):
            place = self.place(at, share)
            room = QRectF(place.x() + 5, place.y() - 9, width / 2, 18)
            left = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
            short = metrics.elidedText(text, Qt.TextElideMode.ElideRight, round(room.width()))
            # From the axis on: what is left of a line would look like a minus.
            ground = room.adjusted(-4, 0, 0, 0)
            ground.setWidth(metrics.horizontalAdvance(short) + 6)
            painter.fillRect(ground, faded(plot_colours().background, 230))
            painter.drawText(room, left, short)
        if np.isnan(self._shares[at]).any():
            place = self.place(at, -MISSING / self._height)
            painter.setPen(colours().caption)
            painter.drawText(QRectF(place.x() - 30, place.y() + 1, 60, 15), centre, "none")

    # -- the pointer ---------------------------------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton:
            at = self._axis_at(event.position())
            if at is None:
                run = self._run_at(event.position())
                folders = () if run is None else (self._runs[run].folder,)
                self._pointer.click(folders, event.modifiers())
            else:
                self._dragged = (at, self._share_at(event.position()))
                self._brush(event.position())

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self._dragged is not None:
            self._brush(event.position())
            return
        over = self._axis_at(event.position()) is not None
        self.setCursor(Qt.CursorShape.SizeVerCursor if over else Qt.CursorShape.ArrowCursor)
        run = self._run_at(event.position())
        where = event.globalPosition().toPoint()
        if run is None:
            self._pointer.move((), (), where)
            return
        lines = (self._runs[run].title, self._labels[run])
        self._pointer.move((self._runs[run].folder,), lines, where)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        if self._dragged is not None:
            self._brush(event.position())
            self._dragged = None

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self._selection.hover(None)

    def _brush(self, position: QPointF) -> None:
        """Select the range from where the pointer was pressed; a click without one removes it."""
        if self._dragged is None:
            return
        at, start = self._dragged
        end, name = self._share_at(position), self._axes[at].name
        if abs(end - start) * self._height < 3:
            self._brushes.pop(name, None)
        else:
            self._brushes[name] = (min(start, end), max(start, end))
        self._selection.pick(self._within_brushes())
        self.update()

    def _share_at(self, position: QPointF) -> float:
        """The place along an axis."""
        return min(1.0, max(0.0, 1 - (position.y() - TOP) / self._height))

    def _axis_at(self, position: QPointF) -> int | None:
        for at in range(len(self._axes)):
            if abs(self.place(at, 0).x() - position.x()) <= REACH and position.y() > TOP - REACH:
                return at
        return None

    def _run_at(self, position: QPointF) -> int | None:
        if not self._axes:
            return None
        distances = []
        for line in self._lines():
            x, y = (line - (position.x(), position.y())).T
            distances.append(distance_from_origin(x, y))
        nearest = min(distances, default=np.inf)
        return distances.index(nearest) if nearest <= REACH else None


def _draw_lines(painter: QPainter, lines: Numbers) -> None:
    """Draw (lines, points, 2): each as one in SVG, for whoever edits it. In pixels they are drawn
    from point to point, fifteen times as fast where they are wider than a pixel."""
    if painter.paintEngine().type() is QPaintEngine.Type.Raster:
        parts = np.concatenate((lines[:, :-1], lines[:, 1:]), axis=-1).reshape(-1, 4)
        painter.drawLines([QLineF(*part) for part in parts.tolist()])
        return
    for line in lines.tolist():
        painter.drawPolyline(QPolygonF([QPointF(*point) for point in line]))


def _scaled(axis: AxisValues, values: Numbers) -> Numbers:
    return np.log10(values) if axis.spans_decades else values


def _shares(axis: AxisValues) -> Numbers:
    """Places along the axis from 0 to 1, NaN without a value."""
    low, high = _scaled(axis, np.array(axis.range or (0.0, 0.0)))
    values = np.where(np.isfinite(axis.values), _scaled(axis, axis.values), np.nan)
    return (values - low) / (high - low) if high > low else 0 * values + 0.5


def _words(axis: AxisValues) -> list[tuple[float, str]]:
    """What is written beside an axis, and where."""
    if axis.range is None:
        return []
    count = len(axis.categories)
    if count == 1:
        return [(0.5, axis.categories[0])]
    if 0 < count <= MOST_NAMED:
        return [(at / (count - 1), text) for at, text in enumerate(axis.categories)]
    low, high = axis.range
    if axis.categories:
        return [(0.0, axis.categories[0]), (1.0, axis.categories[-1])]
    return [(0.0, f"{low:.5g}"), (1.0, f"{high:.5g}")] if high > low else [(0.5, f"{low:.5g}")]
