"""Loss, accuracy, live combinations and density of the present run."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pyqtgraph as pg
from PySide6.QtCore import QEvent, QTimer, Slot

from lbc.runs.events import EpochDone, LayerInfo, Resumed, StepDone
from lbc_gui.export.view_export import Data, as_csv, as_npz
from lbc_gui.export.view_renderer import Picture
from lbc_gui.theme import PlotColours, compact, faded, plot_colours, style_plot
from lbc_gui.widgets.log_axis import LogAxis
from lbc_gui.widgets.text import html

TITLES = {
    "loss": "Loss",
    "accuracy": "Test accuracy (%)",
    "live": "Live combinations",
    "density": "Density (% kept)",
}

CURVES = {
    "step_loss": ("loss", "blue", 1.0),
    "train_loss": ("loss", "blue", 2.0),
    "test_loss": ("loss", "orange", 2.0),
    "accuracy": ("accuracy", "orange", 2.0),
    "live": ("live", "green", 2.0),
    "density": ("density", "red", 2.0),
}
"""Plot, colour and width in pixels of every curve."""

UNITS = {"accuracy": "accuracy_percent", "density": "density_percent"}
"""Names of columns that are not plain numbers."""

REDRAW_MILLISECONDS = 200
"""Between two redraws, each of which takes more than a millisecond from training."""


class Series:
    """Points (x, y) in the order they came; ``x`` and ``y`` are copies."""

    def __init__(self) -> None:
        self._x, self._y = array("d"), array("d")

    def __len__(self) -> int:
        return len(self._x)

    def append(self, x: float, y: float) -> None:
        self._x.append(x)
        self._y.append(y)

    @property
    def x(self) -> npt.NDArray[np.float64]:
        return np.array(self._x)

    @property
    def y(self) -> npt.NDArray[np.float64]:
        return np.array(self._y)


class CurvesPanel(pg.GraphicsLayoutWidget):  # type: ignore[misc]
    """Four small plots over epochs, side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.setMinimumHeight(120)
        compact(self)
        self._plots: dict[str, pg.PlotItem] = {}
        for name in TITLES:
            axes = {"left": LogAxis("left")} if name == "loss" else None
            plot = self.addPlot(axisItems=axes, enableMenu=False)
            plot.hideButtons()
            plot.setMouseEnabled(x=True, y=False)
            plot.getAxis("left").setWidth(38)
            self._plots[name] = plot
        self._plots["loss"].setLogMode(y=True)
        self._plots["accuracy"].setLimits(yMin=0, yMax=100, minYRange=4)
        self._curves = {name: self._plots[plot].plot() for name, (plot, _, _) in CURVES.items()}
        self._curves["step_loss"].setDownsampling(auto=True, method="peak")
        self._series = {name: Series() for name in CURVES}
        self._stale: set[str] = set()
        self._redraw = QTimer(self, singleShot=True, interval=REDRAW_MILLISECONDS)
        self._redraw.timeout.connect(self._draw_stale)
        self._restyle()

    def clear_curves(self) -> None:
        self._series = {name: Series() for name in CURVES}
        self._draw(CURVES)

    def begin(self, layers: Sequence[LayerInfo], epochs: int) -> None:
        """Empty all plots and scale them for a run."""
        self.clear_curves()
        largest = max(layer.pattern.count for layer in layers)
        for plot in self._plots.values():
            plot.setLimits(xMin=-0.02 * epochs, xMax=1.02 * epochs)  # first: they cut the range
            plot.setXRange(0, epochs, padding=0.02)
        self._series["live"].append(0, largest)
        self._series["density"].append(0, 100)
        self._plots["density"].setYRange(0, 100, padding=0.03)
        self._plots["live"].setYRange(0, largest, padding=0.03)
        self._draw(CURVES)

    def add(self, events: Sequence[object]) -> None:
        """Add what has arrived, to be drawn soon."""
        touched = self._stale
        for event in events:
            if isinstance(event, Resumed):
                self.add([*event.steps, *event.epochs])
            elif isinstance(event, StepDone):
                self._series["step_loss"].append(event.epoch, event.loss)
                touched.add("step_loss")
            elif isinstance(event, EpochDone):
                for name, value in (
                    ("train_loss", event.train_loss),
                    ("test_loss", event.test_loss),
                    ("accuracy", 100 * event.accuracy),
                    ("live", max(event.live)),
                    ("density", 100 * event.density),
                ):
                    self._series[name].append(event.epoch, value)
                    touched.add(name)
        if touched and not self._redraw.isActive():
            self._redraw.start()

    def picture_to_save(self) -> Picture | None:
        if not len(self._series["live"]):
            return None
        self._draw_stale()
        last = max(float(series.x[-1]) for series in self._series.values() if len(series))
        return Picture("curves", f"Training curves up to epoch {round(last, 2):g}", self)

    def data_to_save(self) -> Data | None:
        """Every step and epoch so far; npz holds ``NAME`` and ``NAME_epoch`` for each curve."""
        if not len(self._series["live"]):
            return None
        curves = {name: (one.x, one.y) for name, one in self._series.items()}
        arrays = {name: y for name, (_, y) in curves.items()}
        arrays |= {f"{name}_epoch": x for name, (x, _) in curves.items()}
        rows: dict[float, dict[str, float]] = {}
        for name, (x, y) in curves.items():
            for epoch, value in zip(x.tolist(), y.tolist(), strict=True):
                rows.setdefault(epoch, {})[name] = value
        table = [[epoch, *(row.get(name, "") for name in curves)] for epoch, row in rows.items()]
        table.sort(key=lambda row: row[0])
        columns = ("epoch", *(UNITS.get(name, name) for name in curves))
        return Data("curves", {
            ".csv": as_csv(columns, len(table), table), ".npz": as_npz(arrays),
        })  # fmt: skip

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and hasattr(self, "_series"):
            self._restyle()

    @Slot()
    def _draw_stale(self) -> None:
        stale, self._stale = self._stale, set()
        self._draw(stale)

    def _draw(self, names: Iterable[str]) -> None:
        for name in names:
            series = self._series[name]
            # A removal takes effect until the next one.
            step = "right" if name in ("live", "density") else None
            self._curves[name].setData(series.x, series.y, stepMode=step)

    def _title(self, name: str, colours: PlotColours) -> str:
        if name != "loss":
            return TITLES[name]
        return html(
            'Loss: <span style="color: {}">training</span>, <span style="color: {}">test</span>',
            colours.blue.name(),
            colours.orange.name(),
        )

    def _restyle(self) -> None:
        colours = plot_colours()
        self.setBackground(colours.background)
        for name, plot in self._plots.items():
            style_plot(plot, colours)
            plot.setTitle(self._title(name, colours), color=colours.text.name(), size="9pt")
            plot.getAxis("bottom").setLabel("epoch", color=colours.text.name())
            plot.showGrid(x=True, y=True, alpha=0.15)
        for name, (_, colour_name, width) in CURVES.items():
            curve, colour = self._curves[name], getattr(colours, colour_name)
            pen = faded(colour, 110) if name == "step_loss" else colour
            curve.setPen(pg.mkPen(pen, width=width))
            if name not in ("step_loss", "live"):
                curve.setSymbol("o")
                curve.setSymbolSize(5)
                curve.setSymbolBrush(colour)
                curve.setSymbolPen(None)
