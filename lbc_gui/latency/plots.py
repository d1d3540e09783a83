"""Latency, speed-up and roofline of the measurements that are shown, side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QEvent, Qt, Slot
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QTabWidget, QWidget

from lbc.latency.anchors import ANCHORS, find_peak, memory_bytes
from lbc.latency.files import as_csv
from lbc.latency.measurement import Dtype, Measurement, Result, Time
from lbc_gui.export.view_export import Data
from lbc_gui.export.view_renderer import Picture
from lbc_gui.latency.keyed_plot import Floats, KeyedPlot
from lbc_gui.theme import plot_colours

MOST_BARS = 16
SYMBOLS = (("o", "●"), ("s", "■"), ("t", "▼"), ("d", "◆"))
"""Of pyqtgraph, and as the key writes them."""

Numbered = tuple[int, Measurement]
Series = tuple[str, QColor, bool, list[tuple[int, Time]]]
"""Bars of one look: name, colour, whether filled, the place of each and its time."""


class LatencyPlots(QTabWidget):
    """Three pictures of the same results."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("Plots of the measurements")
        self._shown: tuple[Numbered, ...] = ()
        work = "operations of the dense product (GFLOP)"
        self.latency = KeyedPlot("Latency (µs)", "", logarithmic=("left",))
        self.speed_up = KeyedPlot("Speed-up over dense", work, logarithmic=("bottom",))
        self.roofline = KeyedPlot(
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
        """Draw measurements, each in its colour; without any, published results."""
        shown = tuple(at for at in measurements if at[1].results)
        if shown and not self._shown:
            self.setCurrentWidget(self.latency)
        elif not shown:
            self.setCurrentWidget(self.speed_up)
        self._shown = shown
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
        assert isinstance(view, KeyedPlot)
        view.empty()
        match view:
            case self.latency:
                _draw_latency(view, self._shown)
            case self.speed_up:
                _draw_speed_up(view, self._shown)
            case self.roofline:
                _draw_roofline(view, self._shown)
        view.finish()


def colour_of(index: int) -> QColor:
    """The colour of the measurement at this place of the list: four, and after them four that are
    further from the ground: darker ones in the light theme, lighter ones in the dark theme."""
    colours = plot_colours()
    series = (colours.blue, colours.orange, colours.green, colours.red)
    colour = series[index % len(series)]
    if index // len(series) % 2 == 0:
        return colour
    return colour.darker(190) if colours.background.lightnessF() > 0.5 else colour.lighter(150)


def ways_of(result: Result) -> list[Time]:
    """The times drawn for a case: with CUDA graphs if there are any, else eager; no control."""
    mode = result.mode("graph")
    return [t for t in result.times if t.mode == mode and t.way != "A/A"]


def _draw_latency(view: KeyedPlot, measurements: Sequence[Numbered]) -> None:
    """Bars of the first measurement's cases; whiskers from the 10th to the 90th percentile."""
    if not measurements:
        view.name_cases([])
        return
    shown = measurements[0][1]
    found = [result for result in shown.results if result.times]
    results = found[:MOST_BARS]
    all_series = _side_by_side(results, measurements) or _every_way(results)
    drawn = [bar for *_, bars in all_series for bar in bars]
    width = 0.8 / max(1, len(all_series))
    for number, (name, colour, filled, bars) in enumerate(all_series):
        x = np.array([at for at, _ in bars]) + (number - (len(all_series) - 1) / 2) * width
        middle, low, high = np.log10(
            [
                [getattr(time, name) for _, time in bars]
                for name in ("median_us", "p10_us", "p90_us")
            ]
        )
        # A logarithmic axis has no zero for bars to start from.
        floor = np.full(len(x), np.log10(0.5 * min(time.p10_us for _, time in drawn)))
        look = {"brush": colour, "pen": None} if filled else {"brush": None, "pen": colour}
        view.plot.addItem(
            pg.BarGraphItem(x=x, y0=floor, height=middle - floor, width=0.92 * width, **look)
        )
        view.add_whiskers(x, middle, low, high, plot_colours().text, 0.4 * width)
        if filled:
            view.explain("■", colour, name)
    hollow = "" if all(filled for _, _, filled, _ in all_series) else "hollow: fastest dense way; "
    left_out = f", the first {MOST_BARS} of {len(found)} cases" if len(found) > MOST_BARS else ""
    view.note(f"({hollow}medians, whiskers from the 10th to the 90th percentile{left_out})")
    view.name_cases([result.name for result in results])


def _every_way(results: Sequence[Result]) -> list[Series]:
    """All ways of one measurement, a colour each."""
    drawn = [(at, time) for at, result in enumerate(results) for time in ways_of(result)]
    names = dict.fromkeys(time.way for _, time in drawn)
    return [
        (way, colour_of(number), True, [(at, time) for at, time in drawn if time.way == way])
        for number, way in enumerate(names)
    ]


def _side_by_side(results: Sequence[Result], measurements: Sequence[Numbered]) -> list[Series]:
    """The fastest dense and sparse way of each measurement, where several have the same cases."""
    found: list[Series] = []
    for number, measurement in measurements:
        same = {_shape(result): result for result in measurement.results}
        pairs = [(at, same[_shape(r)]) for at, r in enumerate(results) if _shape(r) in same]
        dense = [(at, time) for at, result in pairs if (time := result.dense())]
        sparse = [(at, time) for at, result in pairs if (time := result.sparse())]
        for kind, bars in (("dense", dense), ("sparse", sparse)):
            if bars:
                found.append((measurement.title, colour_of(number), kind == "sparse", bars))
    return found if len({colour.name() for _, colour, *_ in found}) > 1 else []


def _shape(result: Result) -> tuple[int, int, int, bool]:
    return result.m, result.n, result.k, result.convolution


def _points(
    view: KeyedPlot, x: Floats, y: Floats, number: int, name: str, filled: bool = True
) -> None:
    """Points in the look of a measurement; hollow ones are explained by those that are filled."""
    colour = colour_of(number)
    symbol, glyph = SYMBOLS[number % len(SYMBOLS)]
    brush, pen = colour if filled else None, pg.mkPen(colour, width=1.5)
    view.plot.addItem(pg.ScatterPlotItem(x=x, y=y, symbol=symbol, size=8, brush=brush, pen=pen))
    if filled:
        view.explain(glyph, colour, name)


def _draw_speed_up(view: KeyedPlot, measurements: Sequence[Numbered]) -> None:
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
            view.add_whiskers(np.log10(size), y, low, high, colour_of(number), 0.03)
            _points(view, np.log10(size), y, number, measurement.title)
        peak = find_peak(measurement.device)
        if peak is not None:
            _draw_anchors(view, peak.name[:4], measurement.dtype, number)
    if not measurements:
        for number, family in enumerate(dict.fromkeys(anchor.device for anchor in ANCHORS)):
            _draw_anchors(view, family, "bfloat16", number)


def _draw_anchors(view: KeyedPlot, family: str, dtype: Dtype, number: int) -> None:
    """Published squares of a family of GPUs, as hollow stars with their source."""
    near = [at for at in ANCHORS if at.device.startswith(family) and at.dtype == dtype]
    if near:
        x, y = np.log10([2 * at.size**3 / 1e9 for at in near]), [at.ratio for at in near]
        pen = pg.mkPen(colour_of(number), width=1.2)
        view.plot.addItem(pg.ScatterPlotItem(x=x, y=y, symbol="star", size=11, brush=None, pen=pen))
        view.explain("☆", colour_of(number), f"published, {near[0].device} {dtype}, squares")
        view.note(f"(☆ {near[0].source})")


def _draw_roofline(view: KeyedPlot, measurements: Sequence[Numbered]) -> None:
    """Dense and sparse points under the peaks of memory and arithmetic."""
    for number, measurement in measurements:
        _draw_roof(view, measurement, colour_of(number))
        for kind in ("dense", "sparse"):
            found = [_roof_point(r, measurement, kind == "sparse") for r in measurement.results]
            points = np.array([point for point in found if point is not None])
            if len(points):
                x, y = points.T
                _points(view, x, y, number, measurement.title, filled=kind == "sparse")
    if measurements:
        view.note("(filled: fastest sparse way, hollow: fastest dense)")


def _roof_point(
    result: Result, measurement: Measurement, sparse: bool
) -> tuple[float, float] | None:
    time = result.sparse() if sparse else result.dense()
    if time is None:
        return None
    moved = memory_bytes(result, measurement.dtype, sparse)
    reached = result.operations / (time.median_us * 1e-6) / 1e12
    return float(np.log10(result.operations / moved)), float(np.log10(reached))


def _draw_roof(view: KeyedPlot, measurement: Measurement, colour: QColor) -> None:
    peak = find_peak(measurement.device)
    if peak is None:
        return
    intensity = np.logspace(0, 4.2, 200)
    for sparse, style in ((False, Qt.PenStyle.DashLine), (True, Qt.PenStyle.SolidLine)):
        ceiling = peak.operations(measurement.dtype, sparse) / 1e12
        roof = np.minimum(intensity * peak.memory_tb, ceiling)
        pen = pg.mkPen(colour, style=style)
        view.plot.addItem(pg.PlotDataItem(np.log10(intensity), np.log10(roof), pen=pen))
    dense, two_four = (peak.operations(measurement.dtype, at) / 1e12 for at in (False, True))
    view.explain("—", colour, f"{peak.name} peaks: {dense:,.0f} dense (┄), {two_four:,.0f} 2:4")
