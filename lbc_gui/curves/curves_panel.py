"""Loss, accuracy, live combinations and density of the present run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import log10

import pyqtgraph as pg
from PySide6.QtCore import QEvent, QTimer, Slot
from PySide6.QtGui import QResizeEvent

from lbc.runs.events import EpochDone, Intervened, LayerInfo, MethodNumbers, Resumed, StepDone
from lbc.runs.run_state import Parent
from lbc_gui.curves.cursors import Cursors
from lbc_gui.curves.fork_note import ForkMarks, ForkNote
from lbc_gui.curves.series import Series
from lbc_gui.export.view_export import Data, as_csv, as_npz
from lbc_gui.export.view_renderer import Picture
from lbc_gui.help.explanations import help_button
from lbc_gui.run.view_state import ViewState
from lbc_gui.theme import faded, plot_colours
from lbc_gui.widgets.epoch_axis import EpochAxis
from lbc_gui.widgets.log_axis import LogAxis
from lbc_gui.widgets.plot import add_plot, compact, show_numbers, style_plot
from lbc_gui.widgets.text import html

NUMBERS = ("number1", "number2", "number3")
"""Plots of what the method of the run gives at the end of each epoch, hidden if that is nothing."""

LEVELS = {"loss": "test_loss", "accuracy": "accuracy", "live": "live", "density": "density"} | {
    name: name for name in NUMBERS
}
"""The plots, and the curve that the crosshair is on in each."""

STEPPED = ("live", "density")
"""A removal takes effect until the next one."""

CURVES = {
    "step_loss": ("loss", "blue", 1.0),
    "train_loss": ("loss", "blue", 2.0),
    "test_loss": ("loss", "orange", 2.0),
    "accuracy": ("accuracy", "orange", 2.0),
    "live": ("live", "green", 2.0),
    "density": ("density", "red", 2.0),
} | {name: (name, "blue", 2.0) for name in NUMBERS}
"""Plot, colour and width in pixels of every curve."""

UNITS = {"accuracy": "accuracy_percent", "density": "density_percent"}
"""Names of columns that are not plain numbers."""

WIDE = 800
"""Pixels of the panel from which on the titles name both losses."""

REDRAW_MILLISECONDS = 200
"""Between two redraws, each of which takes more than a millisecond from training."""


class _Title(pg.LabelItem):  # type: ignore[misc]
    """The title of a plot, which does not widen the plot."""

    def updateMin(self) -> None:
        self.setMinimumHeight(self.itemRect().height())


class CurvesPanel(pg.GraphicsLayoutWidget):  # type: ignore[misc]
    """Four small plots over the same epochs, side by side, and those of the method's numbers.

    Their titles say the values under the mouse, or else the last ones. Thin grey lines are those of
    the run that finished before. What a fork has from its parent is dimmed.
    """

    def __init__(self, state: ViewState) -> None:
        super().__init__()
        self.setMinimumHeight(120)
        self.setAccessibleName("Curves of the run")
        self.setAccessibleDescription(
            "Loss, test accuracy, live combinations and density over the epochs; the values under "
            "the pointer are in the titles"
        )
        compact(self)
        self._plots: dict[str, pg.PlotItem] = {}
        self._titles: dict[str, _Title] = {}
        for column, name in enumerate(LEVELS):
            left = {"left": LogAxis("left")} if name == "loss" else {}
            self._titles[name] = _Title(justify="left", size="8.5pt")
            self.addItem(self._titles[name], 0, column)
            plot = add_plot(self, column, 1, bottom=EpochAxis(), **left)
            plot.setMouseEnabled(x=True, y=False)
            plot.getAxis("left").setWidth(38)
            show_numbers(plot, False)
            self._plots[name] = plot
            plot.setXLink(None if name == "loss" else self._plots["loss"])
        self._plots["loss"].setLogMode(y=True)
        self._plots["accuracy"].setLimits(yMin=0, yMax=100, minYRange=4)
        self._before = {name: self._plots[CURVES[name][0]].plot() for name in LEVELS.values()}
        self._curves = {name: self._plots[plot].plot() for name, (plot, _, _) in CURVES.items()}
        self._curves["step_loss"].setDownsampling(auto=True, method="peak")
        self._series = {name: Series() for name in CURVES}
        self._finished = self._series
        self._count = self._epochs = 0
        self._labels: tuple[str, ...] = ()
        """Of the numbers of the method."""
        self._stale: set[str] = set()
        self._redraw = QTimer(self, singleShot=True, interval=REDRAW_MILLISECONDS)
        self._redraw.timeout.connect(self._draw_stale)
        self._cursors = Cursors(self._plots.values(), state, self)
        self._cursors.moved.connect(self._show_values)
        self.scene().sigMouseMoved.connect(self._cursors.follow)
        self.fork_note = ForkNote()
        self._fork = ForkMarks(self._plots.values())
        self._help = help_button("Curves")
        self._help.setParent(self)
        self._show_labels(())
        self._restyle()

    def clear_curves(self) -> None:
        self._series = {name: Series() for name in CURVES}
        self._draw(CURVES)
        for curve in self._before.values():
            curve.clear()
        for plot in self._plots.values():
            show_numbers(plot, False)
        self.show_parent(None)

    @Slot(object)
    def show_parent(self, parent: Parent | None) -> None:
        """Show up to where the curves are those of the parent of a fork."""
        self.fork_note.show_parent(parent)
        self._fork.show_epoch(None if parent is None else parent.epoch, plot_colours())

    def begin(self, layers: Sequence[LayerInfo], epochs: int) -> None:
        """Scale empty plots for a run, and draw the one that finished before in grey."""
        self.clear_curves()
        self._show_labels(())
        self._count = max(layer.pattern.count for layer in layers)
        self._show_epochs(epochs)
        for plot in self._plots.values():
            show_numbers(plot, True)
        for name, curve in self._before.items():
            _draw_series(curve, name, self._finished[name])
        self._plots["density"].setYRange(0, 100, padding=0.03)
        self._plots["live"].setYRange(0, self._count, padding=0.03)
        self._restart()

    def _show_labels(self, labels: Sequence[str]) -> None:
        """Show a plot for each of the method's numbers, as many as there are plots."""
        self._labels = tuple(labels)[: len(NUMBERS)]
        for item in NUMBERS:
            for part in (self._titles[item], self._plots[item]):
                if part in self.ci.items:
                    self.removeItem(part)
        for column, name in enumerate(NUMBERS[: len(self._labels)], start=len(LEVELS) - 3):
            self.addItem(self._titles[name], 0, column)
            self.addItem(self._plots[name], 1, column)

    def _restart(self) -> None:
        """Begin the curves of the run anew."""
        self._series = {name: Series() for name in CURVES}
        self._series["live"].append(0, self._count)
        self._series["density"].append(0, 100)
        self._draw(CURVES)

    def _show_epochs(self, epochs: int) -> None:
        self._epochs = epochs
        for plot in self._plots.values():
            plot.setLimits(xMin=-0.02 * epochs, xMax=1.02 * epochs)  # first: they cut the range
            plot.setXRange(0, epochs, padding=0.02)

    def add(self, events: Sequence[object]) -> None:
        """Add what has arrived, to be drawn soon."""
        touched = self._stale
        for event in events:
            if isinstance(event, Resumed):
                self._restart()
                self.add([*event.steps, *event.epochs, *event.numbers])
            elif isinstance(event, StepDone):
                self._series["step_loss"].append(event.epoch, event.loss)
                touched.add("step_loss")
            elif isinstance(event, MethodNumbers):
                if self._labels != tuple(event.numbers)[: len(NUMBERS)]:
                    self._show_labels([*event.numbers])
                for name, value in zip(NUMBERS, event.numbers.values(), strict=False):
                    self._series[name].append(event.epoch, value)
                    touched.add(name)
            elif isinstance(event, Intervened) and event.epochs:
                self._show_epochs(event.epochs)
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
                if event.epoch == self._epochs:
                    self._finished = self._series
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
        labels = dict(zip(NUMBERS, self._labels, strict=False))
        curves = {
            labels.get(name, name): (one.x, one.y)
            for name, one in self._series.items()
            if name in labels or name not in NUMBERS
        }
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

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        super().resizeEvent(event)
        if hasattr(self, "_help") and not self.closed:  # pyqtgraph calls it early and late
            self._help.move(self.width() - self._help.sizeHint().width(), 0)
            self._show_values()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and hasattr(self, "_cursors"):
            self._restyle()

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self._cursors.leave()

    @Slot()
    def _draw_stale(self) -> None:
        stale, self._stale = self._stale, set()
        self._draw(stale)

    def _draw(self, names: Iterable[str]) -> None:
        for name in names:
            _draw_series(self._curves[name], name, self._series[name])
        self._show_values()

    @Slot()
    def _show_values(self) -> None:
        """Show the values as of the crosshair, or the last ones, in the titles."""
        epoch = self._cursors.epoch
        now = {name: series.at(epoch) for name, series in self._series.items()}
        train = now["step_loss"] if now["train_loss"] is None else now["train_loss"]
        titles = {
            "loss": self._loss_title(train, now["test_loss"]),
            "accuracy": f"Test accuracy {_value(now['accuracy'], '.1f', ' %')}",
            "live": f"Live {_value(now['live'], 'g', f' of {self._count:,}')}",
            "density": f"Density {_value(now['density'], '.1f', ' %')}",
        } | {
            name: html("{} {}", _capitalised(label), _value(now[name], ".3g"))
            for name, label in zip(NUMBERS, self._labels, strict=False)
        }
        for name, title in titles.items():
            if title != self._titles[name].text:
                self._titles[name].setText(title)
        where = "epoch" if epoch is None else f"epoch {epoch:.2f}"
        for name, plot in self._plots.items():
            level = now[LEVELS[name]]
            if name == "loss" and level:
                level = log10(level)
            self._cursors.show_level(plot, level)
            if plot.getAxis("bottom").labelText != where:
                plot.getAxis("bottom").setLabel(where)

    def _loss_title(self, train: float | None, test: float | None) -> str:
        colours, coloured = plot_colours(), ' <span style="color: {}">▪</span>{}{}'
        first, second = ("train ", "test ") if self.width() >= WIDE else ("", "")
        return (
            "Loss"
            + html(coloured, colours.blue.name(), first, _value(train, ".3g"))
            + html(coloured, colours.orange.name(), second, _value(test, ".3g"))
        )

    def _restyle(self) -> None:
        colours = plot_colours()
        self.setBackground(colours.background)
        self._cursors.restyle(colours)
        self._fork.restyle(colours)
        for name, plot in self._plots.items():
            style_plot(plot, colours)
            self._titles[name].setText("", color=colours.text.name())
            plot.getAxis("bottom").setLabel("epoch", color=colours.text.name())
            plot.showGrid(x=True, y=True, alpha=0.15)
        for curve in self._before.values():
            curve.setPen(pg.mkPen(faded(colours.text, 110), width=1))
        for name, (_, colour_name, width) in CURVES.items():
            curve, colour = self._curves[name], getattr(colours, colour_name)
            pen = faded(colour, 110) if name == "step_loss" else colour
            curve.setPen(pg.mkPen(pen, width=width))
            if name not in ("step_loss", "live"):
                curve.setSymbol("o")
                curve.setSymbolSize(5)
                curve.setSymbolBrush(colour)
                curve.setSymbolPen(None)
        self._show_values()


def _draw_series(curve: pg.PlotDataItem, name: str, series: Series) -> None:
    curve.setData(series.x, series.y, stepMode="right" if name in STEPPED else None)


def _capitalised(label: str) -> str:
    return label[:1].upper() + label[1:] if label.isascii() else label


def _value(value: float | None, form: str, unit: str = "") -> str:
    return "–" if value is None else f"{value:{form}}{unit}"
