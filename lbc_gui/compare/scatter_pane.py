"""Any two columns of the runs that are compared, and the Pareto front."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QEvent, QPointF, Qt, Signal, Slot
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QWidget

from lbc.library.columns import Numbers
from lbc.library.differences import label_runs
from lbc.library.pareto import pareto_front
from lbc.library.run_cost import COSTS
from lbc.library.run_summary import RunSummary
from lbc.library.run_values import LOWER_IS_BETTER, AxisValues, RunValues
from lbc_gui.compare.cost_reader import RunCosts
from lbc_gui.compare.pointer import PointedPlot, RunPointer
from lbc_gui.compare.run_selection import RunSelection, Selection
from lbc_gui.export.view_export import Data, as_csv
from lbc_gui.export.view_renderer import Picture
from lbc_gui.theme import GAP, TIGHT, faded, plot_colours
from lbc_gui.widgets.buttons import combo_box, tool_button
from lbc_gui.widgets.layouts import column, row
from lbc_gui.widgets.log_axis import ValueAxis
from lbc_gui.widgets.plot import style_plot
from lbc_gui.widgets.text import Label, html

REACH = 10
"""Pixels from the pointer within which a run is found."""

SIZE, LIT_SIZE, DIMMED = 9, 13, 70


class AxisChoice(QWidget):
    """Which column is on an axis, which values of it are better, and whether it is logarithmic."""

    changed = Signal()

    def __init__(self, title: str, name: str) -> None:
        super().__init__()
        self.column_box = combo_box([name], f"The column along {title}")
        self.lower_button = tool_button(
            "lower is better", "For the Pareto front: whether lower or higher values are better"
        )
        self.logarithmic = tool_button("log", "Logarithmic axis")
        for button in (self.lower_button, self.logarithmic):
            button.setCheckable(True)
        row(Label(title), self.column_box, self.lower_button, self.logarithmic, on=self).setSpacing(
            TIGHT
        )
        self.lower_button.setChecked(name in LOWER_IS_BETTER)
        self.column_box.currentTextChanged.connect(self._choose)
        for button in (self.lower_button, self.logarithmic):
            button.toggled.connect(self.changed)

    @property
    def name(self) -> str:
        return self.column_box.currentText()

    def offer(self, names: tuple[str, ...]) -> None:
        """Let these columns be chosen; the one that is chosen stays, if it is one of them."""
        box, now = self.column_box, self.name
        if [box.itemText(at) for at in range(box.count())] != list(names):
            box.blockSignals(True)
            box.clear()
            box.addItems(names)
            box.setCurrentText(now)
            box.blockSignals(False)

    def values(self, of: RunValues) -> tuple[AxisValues, Numbers, bool]:
        """The column, where its values are on the axis, and whether that is logarithmic."""
        values = of.axis(self.name)
        self.lower_button.setEnabled(values.is_result)
        positive = values.range is not None and values.range[0] > 0 and not values.categories
        self.logarithmic.setEnabled(positive)
        logarithmic = positive and self.logarithmic.isChecked()
        return values, np.log10(values.values) if logarithmic else values.values, logarithmic

    @Slot(str)
    def _choose(self, name: str) -> None:
        self.lower_button.blockSignals(True)
        self.lower_button.setChecked(name in LOWER_IS_BETTER)
        self.lower_button.blockSignals(False)
        self.changed.emit()


class ScatterPane(QWidget):
    """A point per run; one that is clicked is a run that is selected."""

    def __init__(self, selection: RunSelection) -> None:
        super().__init__()
        self._selection = selection
        self.costs = RunCosts(self)
        self.costs.arrived.connect(self._show_runs)
        self.costs.running_changed.connect(self._show_runs)
        self.costs.failed.connect(self._fail)
        self._runs: tuple[RunSummary, ...] = ()
        self._labels: tuple[str, ...] = ()
        self._axes: tuple[AxisValues, ...] = ()
        self._places = np.empty((2, 0))
        self._front = np.empty(0, dtype=bool)
        self.x_choice, self.y_choice = AxisChoice("x", "density"), AxisChoice("y", "accuracy")
        self._note = Label(wordWrap=True)
        self._note.setContentsMargins(GAP, 0, GAP, 0)
        self._graphics = PointedPlot("Runs by two of their columns")
        self._value_axes = {side: ValueAxis(side) for side in ("bottom", "left")}
        self.plot = self._graphics.addPlot(axisItems=self._value_axes, enableMenu=False)
        self.plot.hideButtons()
        for axis in self._value_axes.values():
            axis.setZValue(-1000)  # the grid is behind the points
            axis.enableAutoSIPrefix(False)
        self._line = self.plot.plot()
        self._points = pg.ScatterPlotItem(pxMode=True)
        self.plot.addItem(self._points)
        self._pointer = RunPointer(selection, self._graphics)
        self._graphics.pointed.connect(self._mouse_moved)
        self._graphics.scene().sigMouseClicked.connect(self._mouse_clicked)
        fit = tool_button("Fit", "Show all runs", self.plot.enableAutoRange, "fit")
        bar = row(self.x_choice, self.y_choice, fit, None)
        bar.setSpacing(GAP)
        bar.setContentsMargins(GAP, TIGHT, GAP, 0)
        column(bar, self._note, (self._graphics, 1), on=self).setSpacing(TIGHT)
        for choice in (self.x_choice, self.y_choice):
            choice.changed.connect(self._choose)
        selection.changed.connect(self._show_selection)
        self._restyle()

    def picture_to_save(self) -> Picture | None:
        if not self._axes or not self._drawn.any():
            return None
        title = f"{self._axes[1].title} over {self._axes[0].title}, with the Pareto front"
        return Picture(f"{self._axes[1].name} over {self._axes[0].name}", title, self._graphics)

    def data_to_save(self) -> Data | None:
        """One row per run; ``pareto`` is 1 on the front."""
        if not self._axes:
            return None
        x, y = self._axes
        rows = [
            (run.title, str(run.folder), x.text(at), y.text(at), int(self._front[at]))
            for at, run in enumerate(self._runs)
        ]
        columns = ("run", "folder", x.title, y.title, "pareto")
        return Data(f"{y.name} over {x.name}", {".csv": as_csv(columns, len(rows), rows)})

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and hasattr(self, "_points"):
            self._restyle()
            self._draw()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._show_runs()

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self._selection.hover(None)

    @property
    def _drawn(self) -> Any:
        """Which runs have both values."""
        return np.isfinite(self._places).all(axis=0)

    @Slot(object, object)
    def _show_selection(self, before: Selection, now: Selection) -> None:
        if now.compared != before.compared:
            self._show_runs()
        elif self.isVisible():
            self._draw()

    @Slot()
    def _choose(self) -> None:
        self._show_runs()
        self.plot.enableAutoRange()

    @Slot()
    def _show_runs(self) -> None:
        """Place the runs by the chosen columns; while the pane is hidden, nothing is computed."""
        if not self.isVisible():
            return
        self._runs = self._selection.selection.compared
        values = RunValues(self._runs, self.costs.known)
        choices = (self.x_choice, self.y_choice)
        for choice in choices:
            choice.offer(values.names)
        if any(choice.name in COSTS for choice in choices):
            self.costs.ask(run.folder for run in self._runs)
        self._labels = label_runs([run.parameters for run in self._runs])
        found = [choice.values(values) for choice in choices]
        self._axes = tuple(axis for axis, _, _ in found)
        self._places = np.array([places for _, places, _ in found])
        lower = (self.x_choice.lower_button.isChecked(), self.y_choice.lower_button.isChecked())
        x, y = self._axes
        self._front = pareto_front(x.values, y.values, lower)
        self._front &= x.is_result and y.is_result
        text = plot_colours().text.name()
        for side, (axis, _, logarithmic) in zip(self._value_axes.values(), found, strict=True):
            side.logarithmic = logarithmic
            side.setLabel(html("{}", axis.title), color=text)  # it takes HTML
            side.setTicks([list(enumerate(axis.categories))] if axis.categories else None)
        self._say(int((~self._drawn).sum()))
        self._draw()

    def _say(self, missing: int) -> None:
        said = []
        if self.costs.running:
            said.append("Computing the costs of the runs.")
        elif missing:
            what = " or ".join(dict.fromkeys(axis.title for axis in self._axes))
            said.append(f"{missing} of {len(self._runs)} runs have no {what}.")
            if any(axis.name == "latency (µs)" for axis in self._axes):
                said.append(
                    "A latency is shown where the run's folder holds latency.json: "
                    "lbc latency run --run FOLDER --json FOLDER/latency.json"
                )
        self._note.setText(" ".join(said))
        self._note.setVisible(bool(said))

    @Slot(str, str)
    def _fail(self, sentence: str, _details: str) -> None:
        self._note.setText(sentence)
        self._note.show()

    def _draw(self) -> None:
        now, drawn = self._selection.selection, self._drawn
        lit = now.selected if now.hovered is None else {now.hovered}
        colours, text = self._selection.colours, plot_colours().text
        spots = []
        for at in np.flatnonzero(drawn).tolist():
            folder = self._runs[at].folder
            colour, is_lit = colours.of(folder), folder in lit
            ring = pg.mkPen(text, width=2 if is_lit else 1) if self._front[at] else None
            spots.append({
                "pos": self._places[:, at],
                "size": LIT_SIZE if is_lit else SIZE,
                "brush": colour if is_lit or not lit else faded(colour, DIMMED),
                "pen": ring,
            })  # fmt: skip
        self._points.setData(spots)
        self._line.setData(*self._staircase())

    def _staircase(self) -> Numbers:
        """The border of what the front beats: (2, n)."""
        x, y = self._places[:, self._front & self._drawn]
        order = np.lexsort((y, x))
        x, y = x[order], y[order]
        if len(x) < 2:
            return np.empty((2, 0))
        worse_x = np.maximum if self.x_choice.lower_button.isChecked() else np.minimum
        worse_y = np.maximum if self.y_choice.lower_button.isChecked() else np.minimum
        steps = np.empty((2, 2 * len(x) - 1))
        steps[:, ::2] = x, y
        steps[:, 1::2] = worse_x(x[:-1], x[1:]), worse_y(y[:-1], y[1:])
        return steps

    def _restyle(self) -> None:
        colours = plot_colours()
        self._graphics.setBackground(colours.background)
        style_plot(self.plot, colours)
        self.plot.showGrid(x=True, y=True, alpha=0.15)
        self._line.setPen(pg.mkPen(faded(colours.text, 150), width=1))

    def _run_at(self, position: QPointF) -> int | None:
        """The run whose point is nearest to a position of the scene, within reach."""
        drawn = np.flatnonzero(self._drawn)
        if not len(drawn):
            return None
        map_to_scene = self.plot.vb.mapViewToScene
        points = [map_to_scene(QPointF(*self._places[:, at])) for at in drawn]
        distances = [(point - position).manhattanLength() for point in points]
        nearest = int(np.argmin(distances))
        return int(drawn[nearest]) if distances[nearest] <= REACH else None

    @Slot(object)
    def _mouse_moved(self, position: QPointF) -> None:
        at = self._run_at(position)
        where = self._graphics.mapToGlobal(self._graphics.mapFromScene(position))
        if at is None:
            self._pointer.move((), (), where)
            return
        lines = [self._runs[at].title, self._labels[at]]
        lines += [f"{axis.title}: {axis.text(at)}" for axis in self._axes]
        if self._front[at]:
            lines.append("On the Pareto front")
        self._pointer.move((self._runs[at].folder,), lines, where)

    @Slot(object)
    def _mouse_clicked(self, event: Any) -> None:
        if event.button() == Qt.MouseButton.LeftButton:
            at = self._run_at(event.scenePos())
            folders = () if at is None else (self._runs[at].folder,)
            self._pointer.click(folders, event.modifiers())
