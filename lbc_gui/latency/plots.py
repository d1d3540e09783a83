"""Latency, speed-up and roofline of the measurements that are shown, side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyqtgraph as pg
from PySide6.QtCore import QEvent, Qt, Slot
from PySide6.QtGui import QColor, QIcon, QPixmap
from PySide6.QtWidgets import QLabel, QTabWidget, QVBoxLayout, QWidget

from lbc.latency.anchors import ANCHORS, DTYPE_BYTES, memory_bytes, peak_of
from lbc.latency.files import as_csv
from lbc.latency.measurement import Dtype, Measurement, Result, Time
from lbc_gui.curves.curves_panel import LogAxis
from lbc_gui.painting import Picture
from lbc_gui.saving import Data
from lbc_gui.theme import compact, plot_colours, style_plot

MOST_BARS = 16
SYMBOLS = ("o", "s", "t", "d", "+", "x")


Numbered = tuple[int, Measurement]
Floats = npt.NDArray[np.float64]


class LatencyPlots(QTabWidget):
    """Three pictures of the same results."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._shown: tuple[Numbered, ...] = ()
        work = "operations of the dense product (GFLOP)"
        self.latency = _Plot("Latency (µs)", "", logarithmic=("left",))
        self.speed_up = _Plot("Speed-up over dense", work, logarithmic=("bottom",))
        self.roofline = _Plot(
            "TFLOP/s", "operations per byte moved", logarithmic=("left", "bottom")
        )
        for name, plot in (
            ("Latency", self.latency),
            ("Speed-up", self.speed_up),
            ("Roofline", self.roofline),
        ):
            self.addTab(plot, name)
        self.currentChanged.connect(self._draw)

    def show_measurements(self, measurements: Sequence[Numbered]) -> None:
        """Draw these, each in the colour of its number."""
        if measurements and not self._shown:
            self.setCurrentWidget(self.latency)
        elif not measurements:
            self.setCurrentWidget(self.speed_up)
        self._shown = tuple(measurements)
        self._draw()

    def picture_to_save(self) -> Picture | None:
        name = self.tabText(self.currentIndex())
        measured = ", ".join(measurement.title for _, measurement in self._shown)
        title = f"{name} · {measured or 'published measurements'}"
        return Picture(f"latency {name}", title, self.currentWidget())

    def data_to_save(self) -> Data | None:
        """The table of what is drawn; JSON, which can be opened again, is the page's Export."""
        if not self._shown:
            return None
        text = as_csv(tuple(measurement for _, measurement in self._shown)).encode()
        return Data("latency", {".csv": lambda file: file.write(text)})

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and hasattr(self, "roofline"):
            for plot in (self.latency, self.speed_up, self.roofline):
                plot.restyle()
            self._draw()

    @Slot()
    def _draw(self, _index: int = 0) -> None:
        view = self.currentWidget()
        assert isinstance(view, _Plot)
        view.empty()
        match view:
            case self.latency:
                _draw_latency(view, self._shown)
            case self.speed_up:
                _draw_speed_up(view, self._shown)
            case self.roofline:
                _draw_roofline(view, self._shown)
        view.finish()


class _Plot(QWidget):
    """One plot, what its colours mean written above it."""

    def __init__(self, left: str, bottom: str, logarithmic: Sequence[str]) -> None:
        super().__init__()
        self._labels = {"left": left, "bottom": bottom}
        self._entries: list[str] = []
        self._key = QLabel()
        self._key.setWordWrap(True)
        self._key.setContentsMargins(6, 2, 6, 0)
        self._graphics = pg.GraphicsLayoutWidget()
        compact(self._graphics)
        self.plot = self._graphics.addPlot(axisItems={side: LogAxis(side) for side in logarithmic})
        self.plot.setMenuEnabled(False)
        self.plot.hideButtons()
        for side in self._labels:
            self.plot.getAxis(side).enableAutoSIPrefix(False)
        self.setAccessibleName(left)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self._key)
        layout.addWidget(self._graphics, 1)
        self.restyle()

    def empty(self) -> None:
        self.plot.clear()
        self._entries = []

    def explain(self, symbol: str, colour: QColor, text: str) -> None:
        """Say above the plot what is drawn like this."""
        safe = text.replace("&", "&amp;").replace("<", "&lt;")
        self._entries.append(f'<span style="color: {colour.name()}">{symbol}</span>&nbsp;{safe}')

    def finish(self) -> None:
        """Everything is drawn: show all of it."""
        self._key.setText(" &nbsp; ".join(self._entries))
        self._key.setVisible(bool(self._entries))
        self.plot.enableAutoRange()

    def restyle(self) -> None:
        colours = plot_colours()
        self._graphics.setBackground(colours.background)
        style_plot(self.plot, colours)
        for side, label in self._labels.items():
            self.plot.getAxis(side).setLabel(label, color=colours.text.name())
        self.plot.showGrid(x=True, y=True, alpha=0.15)


def colour_of(index: int) -> QColor:
    """The colour of the measurement at this place of the list."""
    colours = plot_colours()
    series = (colours.blue, colours.orange, colours.green, colours.red)
    return series[index % len(series)]


def square_icon(colour: QColor) -> QIcon:
    """A small square, for the list that says which colour is whose."""
    pixmap = QPixmap(10, 10)
    pixmap.fill(colour)
    return QIcon(pixmap)


def ways_of(result: Result) -> list[Time]:
    """The ways drawn for a case: graph times where there are any, else eager; no control."""
    mode = result.mode("graph")
    return [t for t in result.times if t.mode == mode and t.way != "A/A"]


def _draw_latency(view: _Plot, measurements: Sequence[Numbered]) -> None:
    """Bars of the first measurement's cases; whiskers from the 10th to the 90th percentile."""
    shown = measurements[0][1] if measurements else None
    results = [r for r in shown.results if r.times][:MOST_BARS] if shown else []
    drawn = [(at, time) for at, result in enumerate(results) for time in ways_of(result)]
    names = list(dict.fromkeys(time.way for _, time in drawn))
    width = 0.8 / max(1, len(names))
    for number, way in enumerate(names):
        bars = [(at, time) for at, time in drawn if time.way == way]
        x = np.array([at for at, _ in bars]) + (number - (len(names) - 1) / 2) * width
        middle, low, high = np.log10(
            [
                [getattr(time, name) for _, time in bars]
                for name in ("median_us", "p10_us", "p90_us")
            ]
        )
        # A logarithmic axis has no zero for bars to stand on.
        floor = np.full(len(x), np.log10(0.5 * min(time.p10_us for _, time in drawn)))
        colour, height = colour_of(number), middle - floor
        view.plot.addItem(
            pg.BarGraphItem(
                x=x, y0=floor, height=height, width=0.92 * width, brush=colour, pen=None
            )
        )
        _whiskers(view, x, middle, low, high, plot_colours().text, 0.4 * width)
        view.explain("■", colour, way)
    _case_axis(view, results)


def _whiskers(
    view: _Plot, x: Floats, y: Floats, low: Floats, high: Floats, colour: QColor, beam: float
) -> None:
    pen = pg.mkPen(colour, width=1.2)
    view.plot.addItem(pg.ErrorBarItem(x=x, y=y, top=high - y, bottom=y - low, beam=beam, pen=pen))


def _points(view: _Plot, x: Floats, y: Floats, number: int, name: str, filled: bool = True) -> None:
    colour, symbol = colour_of(number), SYMBOLS[number % len(SYMBOLS)]
    brush, pen = colour if filled else None, pg.mkPen(colour, width=1.5)
    view.plot.addItem(pg.ScatterPlotItem(x=x, y=y, symbol=symbol, size=8, brush=brush, pen=pen))
    view.explain("●" if filled else "○", colour, name)


def _case_axis(view: _Plot, results: Sequence[Result]) -> None:
    """Names below the bars, on two lines in turn where there are many."""
    lines = 2 if len(results) > 6 else 1
    room = max(6, 100 * lines // max(1, len(results)))
    names = [(at, "\n" * (at % lines) + _short(r.name, room)) for at, r in enumerate(results)]
    view.plot.getAxis("bottom").setTicks([names])
    view.plot.getAxis("bottom").setHeight(20 + 14 * lines)


def _short(name: str, room: int) -> str:
    return name if len(name) <= room else f"{name[: room - 1]}…"


def _draw_speed_up(view: _Plot, measurements: Sequence[Numbered]) -> None:
    """The best sparse way of every case with its interval, published squares beside it."""
    level = pg.mkPen(plot_colours().grid, width=1.5, style=Qt.PenStyle.DashLine)
    view.plot.addItem(pg.InfiniteLine(1.0, angle=0, pen=level))
    for number, measurement in measurements:
        points = [
            (result.operations / 1e9, ratio.ratio, ratio.low, ratio.high)
            for result in measurement.results
            if (ratio := result.ratio_of(result.sparse())) is not None
        ]
        if points:
            size, y, low, high = np.array(points).T
            _whiskers(view, np.log10(size), y, low, high, colour_of(number), 0.03)
            _points(view, np.log10(size), y, number, measurement.title)
        peak = peak_of(measurement.device)
        if peak is not None:
            _draw_anchors(view, peak.name[:4], measurement.dtype, number)
    if not measurements:
        for number, family in enumerate(dict.fromkeys(anchor.device for anchor in ANCHORS)):
            _draw_anchors(view, family, "bfloat16", number)


def _draw_anchors(view: _Plot, family: str, dtype: Dtype, number: int) -> None:
    """Published squares of a family of GPUs, as hollow stars with their source."""
    near = [anchor for anchor in ANCHORS if (anchor.device, anchor.dtype) == (family, dtype)]
    if near:
        x, y = np.log10([2 * at.size**3 / 1e9 for at in near]), [at.ratio for at in near]
        pen = pg.mkPen(colour_of(number), width=1.2)
        view.plot.addItem(pg.ScatterPlotItem(x=x, y=y, symbol="star", size=11, brush=None, pen=pen))
        name = f"published, {family} {dtype}, squares ({near[0].source})"
        view.explain("☆", colour_of(number), name)


def _draw_roofline(view: _Plot, measurements: Sequence[Numbered]) -> None:
    """Dense and sparse points under the peaks of memory and arithmetic."""
    for number, measurement in measurements:
        _draw_roof(view, measurement, colour_of(number))
        for kind in ("dense", "sparse"):
            found = [_roof_point(r, measurement, kind == "sparse") for r in measurement.results]
            points = np.array([point for point in found if point is not None])
            if len(points):
                name = f"{measurement.title}, {kind}"
                _points(view, points[:, 0], points[:, 1], number, name, filled=kind == "sparse")


def _roof_point(
    result: Result, measurement: Measurement, sparse: bool
) -> tuple[float, float] | None:
    time = result.sparse() if sparse else result.dense()
    if time is None:
        return None
    moved = memory_bytes(result, measurement.dtype, sparse)
    reached = result.operations / (time.median_us * 1e-6) / 1e12
    return float(np.log10(result.operations / moved)), float(np.log10(reached))


def _draw_roof(view: _Plot, measurement: Measurement, colour: QColor) -> None:
    peak = peak_of(measurement.device)
    if peak is None:
        return
    intensity = np.logspace(-1, 4.5, 200) / DTYPE_BYTES[measurement.dtype]
    for sparse, style in ((False, Qt.PenStyle.DashLine), (True, Qt.PenStyle.SolidLine)):
        ceiling = peak.operations(measurement.dtype, sparse) / 1e12
        roof = np.minimum(intensity * peak.memory_tb, ceiling)
        pen = pg.mkPen(colour, style=style)
        view.plot.addItem(pg.PlotDataItem(np.log10(intensity), np.log10(roof), pen=pen))
        mark, kind = ("—", "2:4") if sparse else ("┄", "dense")
        view.explain(mark, colour, f"{peak.name} peak, {kind}: {ceiling:,.0f}")
