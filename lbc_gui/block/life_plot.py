"""A block's scores over time: a line for each combination, until it is removed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyqtgraph as pg
from PySide6.QtCore import QEvent, QPointF, Qt, Signal
from PySide6.QtGui import QColor, QContextMenuEvent
from PySide6.QtWidgets import QMenu, QWidget

from lbc.pictures.colour_keys import combination_colours
from lbc.pictures.glyphs import members_of, squares
from lbc.runs.block_history import Biography, ParentLife
from lbc.runs.kept_checkpoints import ForkPoint
from lbc.sparsity.pattern import Pattern
from lbc_gui.run.timeline import fork_action
from lbc_gui.theme import faded, plot_colours
from lbc_gui.widgets.plot import add_plot, compact, style_plot

Quantity = Literal["behind", "score", "beta", "weight"]

FEW_LINES = 8
"""Above this number all lines but the winner's are faint."""

Floats = npt.NDArray[np.float64]


def combination_colour(combination: int, pattern: Pattern) -> QColor:
    """The colour that a combination has in the pictures too."""
    return QColor(*combination_colours(np.array([combination]), pattern)[0].tolist())


class LifePlot(pg.GraphicsLayoutWidget):  # type: ignore[misc]
    """Lines over epochs, crosses where they end, interventions, and the moment on screen.

    The future that a block had in the parent of a fork is dashed.
    """

    fork_requested = Signal(float)
    """The user wants to fork the run at an epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.setMinimumHeight(130)
        self.setAccessibleName("Scores over time")
        self.setAccessibleDescription(
            "A line over the epochs for each combination of the pinned block, until it is removed"
        )
        self._plot = add_plot(self)
        self._plot.setMouseEnabled(x=True, y=False)
        compact(self)
        small = self.font()
        small.setPointSizeF(small.pointSizeF() * 0.85)
        for name in ("left", "bottom"):
            self._plot.getAxis(name).setTickFont(small)
        self._now = pg.InfiniteLine(angle=90)
        self._now.setZValue(20)
        self._plot.addItem(self._now, ignoreBounds=True)
        self._life: Biography | None = None
        self._other: ParentLife | None = None
        self._weights: tuple[Floats, Floats] = (np.empty(0), np.empty((0, 0)))
        self.quantity: Quantity = "behind"
        self.find_fork_point: Callable[[float], ForkPoint | None] = lambda _epoch: None
        """The checkpoint at which a fork begins that is wanted at an epoch."""
        self._marked: int | None = None
        self._restyle()

    def show_life(self, life: Biography | None, other: ParentLife | None = None) -> None:
        """Another block, or more of the same; ``other`` is its life in the parent of a fork."""
        self._life, self._other = life, other
        self._draw()

    def show_weights(self, epochs: Floats, weights: npt.NDArray[np.float32]) -> None:
        """The block's weights since it was pinned, (T, M), after ``epochs`` (T,)."""
        self._weights = epochs, weights.astype(np.float64)
        if self.quantity == "weight":
            self._draw()

    def show_quantity(self, quantity: Quantity) -> None:
        self.quantity = quantity
        self._draw()

    def show_epoch(self, epoch: float) -> None:
        """Mark the moment on screen."""
        self._now.setValue(epoch)

    def mark(self, combination: int | None) -> None:
        if combination != self._marked:
            self._marked = combination
            self._draw()

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """Offer to fork at the epoch under the mouse, beside what the panel offers."""
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        epoch = self._plot.vb.mapSceneToView(QPointF(self.mapToScene(event.pos()))).x()
        menu.addAction(fork_action(self.find_fork_point(epoch), self.fork_requested.emit, menu))
        menu.addSeparator()
        panel: QWidget | None = self.parentWidget()
        while panel is not None and not panel.actions():
            panel = panel.parentWidget()
        menu.addActions([] if panel is None else panel.actions())
        menu.popup(event.globalPos())

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and hasattr(self, "_now"):
            self._restyle()

    def _draw(self) -> None:
        for item in [item for item in self._plot.items if item is not self._now]:
            self._plot.removeItem(item)  # the line stays: each return of it would leave a few kB
        life = self._life
        if life is None:
            return
        if self._other is not None and self.quantity != "weight":
            self._draw_life(self._other.biography, self._other.parent.epoch)
        self._draw_life(life)
        for done in life.interventions:
            self._draw_intervention(life, done.epoch, done.intervention)
        self._plot.enableAutoRange()

    def _draw_life(self, life: Biography, since: float | None = None) -> None:
        """Draw every line; dashed, if only what came after a moment is drawn."""
        epochs, values = self._values(life)
        combinations, dashed = self.quantity in ("behind", "score"), since is not None
        winner = int(life.winners[-1]) if combinations else None
        colours = self._colours(life, values.shape[1])
        ends = {one.combination: one.epoch for one in life.removals} if combinations else {}
        if since is not None:
            ends = {line: epoch for line, epoch in ends.items() if epoch > since}
            first = max(int(np.searchsorted(epochs, since, side="right")) - 1, 0)
            epochs, values = epochs[first:], values[first:]
        crosses = []
        for line in range(values.shape[1]):
            known = ~np.isnan(values[:, line])
            if not known.any():
                continue
            x, y = epochs[known], values[known, line]
            thick = line == winner or (combinations and line == self._marked)
            self._draw_line(x, y, colours[line], thick, dashed)
            if line in ends:
                pen = pg.mkPen(colours[line], width=1.6)
                crosses.append({"pos": (ends[line], y[-1]), "pen": pen})
            if not combinations and values.shape[1] <= FEW_LINES and not dashed:
                self._name_line(x[-1], y[-1], line)
        if crosses:
            marks = pg.ScatterPlotItem(spots=crosses, symbol="x", size=8, brush=None)
            marks.setZValue(6)
            self._plot.addItem(marks)

    def _colours(self, life: Biography, lines: int) -> list[QColor]:
        """Those of the combinations; positions have the winner's where it holds them."""
        best, plain = int(life.winners[-1]), plot_colours().text
        if self.quantity in ("beta", "weight"):
            held = members_of(life.pattern, best)
            colour = combination_colour(best, life.pattern)
            return [colour if line in held else faded(plain, 110) for line in range(lines)]
        table = combination_colours(np.arange(lines), life.pattern).tolist()
        alpha = 255 if lines <= FEW_LINES else 90
        return [QColor(r, g, b, 255 if c == best else alpha) for c, (r, g, b) in enumerate(table)]

    def _values(self, life: Biography) -> tuple[Floats, Floats]:
        """Epochs (T,) and one column for each line, nan where nothing is known."""
        if self.quantity == "weight":
            return self._weights
        table = life.position_scores if self.quantity == "beta" else life.scores
        if table is None:
            return life.epochs, np.empty((len(life.epochs), 0))
        values = table.astype(np.float64)
        if self.quantity == "behind" and len(values):
            # Less the best that lives: unlike the mean it does not jump when others are removed.
            assert life.live is not None
            lives = np.where(life.live & ~np.isnan(values), values, -np.inf)
            values = values - lives.max(axis=1, keepdims=True)
        return life.epochs, values

    def _draw_line(self, x: Floats, y: Floats, colour: QColor, thick: bool, dashed: bool) -> None:
        width = 2.6 if thick else 1.6 + 0.4 * dashed
        if dashed:
            pen, edge = pg.mkPen(colour, width=width, style=Qt.PenStyle.DashLine), None
        else:  # A dark or light edge: no colour of the table is faint on every ground.
            pen = pg.mkPen(colour, width=width)
            edge = pg.mkPen(faded(plot_colours().text, colour.alpha() // 2), width=width + 1.4)
        # A PlotDataItem has one of these and a scatter plot: 70 of them take twice as long.
        curve = pg.PlotCurveItem(x, y, pen=pen, shadowPen=edge)
        curve.setZValue(0 if dashed else 5 if thick else 1)
        self._plot.addItem(curve)

    def _name_line(self, x: float, y: float, line: int) -> None:
        """The number of a position above the end of its line."""
        text = pg.TextItem(str(line), color=plot_colours().text, anchor=(1.0, 0.9))
        text.setPos(x, y)
        text.setZValue(8)
        self._plot.addItem(text, ignoreBounds=True)

    def _draw_intervention(self, life: Biography, epoch: float, done: Any) -> None:
        colours = plot_colours()
        line = pg.InfiniteLine(
            epoch,
            angle=90,
            pen=pg.mkPen(colours.red, width=1.4, style=Qt.PenStyle.DashLine),
            label=f"{done.action} {squares(life.pattern, done.combination)}",
            labelOpts={
                "position": 0.07,
                "color": colours.red,
                "fill": colours.background,
                "movable": False,
                "anchors": _ANCHORS,
            },
        )
        line.setZValue(10)
        self._plot.addItem(line, ignoreBounds=True)

    def _restyle(self) -> None:
        colours = plot_colours()
        self.setBackground(colours.background)
        style_plot(self._plot, colours)
        self._plot.getAxis("bottom").setLabel("epoch", color=colours.text.name())
        self._plot.showGrid(x=True, y=True, alpha=0.15)
        self._now.setPen(pg.mkPen(colours.text, width=1.5))
        self._draw()


_ANCHORS = [(0.0, 0.5), (1.0, 0.5)]
"""The label of an intervention is to the right of its line, near the right edge to the left."""
