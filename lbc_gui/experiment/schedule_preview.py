"""What N:M, method and schedule imply, before anything runs: live combinations, or what else the
method changes by the clock, and density over the epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QEvent, QSignalBlocker, Qt

from lbc.pictures.curve import Floats
from lbc.sparsity.method_options import Course, MethodOptions
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.schedule import Schedule, density_bounds
from lbc_gui.theme import faded, plot_colours
from lbc_gui.widgets.epoch_axis import EpochAxis
from lbc_gui.widgets.plot import add_plot, compact, style_plot
from lbc_gui.widgets.text import html, plain

Live = tuple[Pattern, int]
"""How many combinations of an N:M live in a block."""

LIVE_TIP = "Left: combinations live in every block, a curve per N:M."
DENSITY_TIP = (
    "Right: the share of the weights of all sparse layers that is used, the least and the most. "
    "While two combinations live, their union holds at least N + 1 of the M positions, so density "
    "falls to N/M only when the last one is left."
)

POINTS = 400
"""More than a small plot has pixels."""


@dataclass(frozen=True)
class Forked:
    """The run that a fork continues after ``epoch`` epochs."""

    epoch: float
    pattern: Pattern
    method: MethodOptions
    schedule: Schedule
    epochs: int

    def live(self, epoch: float) -> int:
        return self.method.live(self.schedule, self.pattern, epoch)

    def continued(self, pattern: Pattern, method: MethodOptions, live: int, epoch: float) -> Live:
        """What lives in the fork, whose schedule asks for ``live``: no more than are left."""
        if epoch <= self.epoch:
            return self.pattern, self.live(epoch)
        same = (pattern, method.name) == (self.pattern, self.method.name)
        return pattern, min(live, self.live(self.epoch)) if same else live


class SchedulePreview(pg.GraphicsLayoutWidget):  # type: ignore[misc]
    """Two small plots. Density is a band: which union of combinations lives is up to training.

    A method that changes other quantities by the clock, such as a temperature, shows these instead
    of live combinations, as shares of the largest value of each.
    """

    def __init__(self) -> None:
        super().__init__()
        self.setFixedHeight(126)
        self.setAccessibleName("Live combinations and density by epoch")
        compact(self)
        self._plots = [add_plot(self, column, bottom=EpochAxis()) for column in range(2)]
        for plot in self._plots:
            plot.setMouseEnabled(False, False)
            plot.getAxis("left").setWidth(30)
            plot.titleLabel.updateMin = lambda: None  # a long title must not widen its plot
            plot.titleLabel.setMinimumWidth(0)
        self._live = self._plots[0].plot(stepMode="right")
        self._own: list[pg.PlotDataItem] = []
        """The curves of other N:M than the first."""
        self._shown: object = None
        """What is drawn: most edits change nothing of it."""
        self._names: list[str] = []
        self._styled: object = None
        """What colours and titles were last chosen for."""
        self._courses: tuple[str, ...] = ()
        """What the left plot shows of the method, if not live combinations."""
        self._before: pg.PlotDataItem | None = None
        self._forks: list[pg.InfiniteLine] = []
        """What a fork continues, and where."""
        self._least = self._plots[1].plot(stepMode="right")
        self._most = self._plots[1].plot(stepMode="right")
        self._band = pg.FillBetweenItem(self._least, self._most)
        self._plots[1].addItem(self._band)
        self._restyle()

    def show_schedule(
        self,
        weights: Mapping[Pattern, int],
        method: MethodOptions,
        schedule: Schedule,
        epochs: int,
        by_step: bool = False,
        forked: Forked | None = None,
    ) -> None:
        """Redraw for ``epochs`` epochs: one point at the end of each, or with ``by_step`` many.

        ``weights`` counts those of each N:M; the first is drawn in the foreground. That of the run
        which a fork continues is dimmed behind it.
        """
        shown = tuple(weights.items()), method, schedule, epochs, by_step, forked
        if shown == self._shown:
            return
        self._shown = shown
        moments = np.linspace(0, epochs, POINTS + 1)
        courses = method.courses(schedule, epochs) if forked is None else ()
        if not by_step and not courses:
            moments = np.linspace(0, epochs, min(epochs, POINTS) + 1).round()
        bounds = np.zeros((len(moments), 2))
        self._resize(len(courses) or len(weights))
        curves = (self._live, *self._own)
        for curve, (pattern, count) in zip(cycle(curves), weights.items(), strict=False):
            live = [(pattern, method.live(schedule, pattern, float(epoch))) for epoch in moments]
            if forked is not None:
                at = zip(live, moments.tolist(), strict=True)
                live = [forked.continued(pattern, method, number, x) for (_, number), x in at]
                cache = {one: density_bounds(*one) for one in set(live)}
                used = [cache[one] for one in live]
            else:
                used = [method.density(schedule, pattern, float(epoch)) for epoch in moments]
            bounds += np.array(used) * count
            if not courses:
                curve.setData(moments, np.array([number for _, number in live], dtype=float))
        bounds *= 100 / sum(weights.values())
        with QSignalBlocker(self._least):  # the band is drawn once, with both its edges
            self._least.setData(moments, bounds[:, 0])
        self._most.setData(moments, bounds[:, 1])
        most = max(pattern.count for pattern in weights)
        if forked is not None:
            self._show_forked(forked, moments if by_step else np.arange(forked.epochs + 1.0))
            epochs, most = max(epochs, forked.epochs), max(most, forked.pattern.count)
        self._courses = self._show_courses(courses, epochs)
        most = 1 if courses else most
        for plot in self._plots:
            plot.setXRange(0, epochs, padding=0.02)
        self._plots[0].setYRange(0, most, padding=0.05)
        self._plots[1].setYRange(0, 100, padding=0.05)
        self._names = [str(pattern) for pattern in weights]
        styled = self._names, self._courses, self._before is not None
        if styled != self._styled:
            self._styled = styled
            self._restyle()

    def _resize(self, count: int) -> None:
        """Have ``count`` curves in the left plot."""
        for curve in self._own[count - 1 :]:
            self._plots[0].removeItem(curve)
        more = range(len(self._own) + 1, count)
        self._own = self._own[: count - 1] + [self._plots[0].plot(stepMode="right") for _ in more]

    def _show_courses(self, courses: Sequence[Course], epochs: int) -> tuple[str, ...]:
        """Draw quantities as shares of their largest values, and return their labels."""
        moments, said = np.linspace(0, epochs, POINTS + 1), []
        for curve, course in zip((self._live, *self._own), courses, strict=False):
            values = np.array([course.at(float(epoch)) for epoch in moments])
            largest = float(np.abs(values).max()) or 1.0
            curve.setData(moments, values / largest)
            said.append(f"{course.label} from {values[0]:.3g} to {values[-1]:.3g}{course.unit}")
        left = f"Left: {', '.join(said)}, as shares of the largest value." if said else LIVE_TIP
        self.setToolTip(plain(f"{left} {DENSITY_TIP}"))
        return tuple(course.label for course in courses)

    def _show_forked(self, forked: Forked, moments: Floats) -> None:
        if self._before is None:
            self._before = self._plots[0].plot(stepMode="right")
            self._before.setZValue(-1)
            self._forks = [pg.InfiniteLine(angle=90) for _ in self._plots]
            for plot, line in zip(self._plots, self._forks, strict=True):
                plot.addItem(line, ignoreBounds=True)
        self._before.setData(moments, np.array([forked.live(float(x)) for x in moments], float))
        for line in self._forks:
            line.setValue(forked.epoch)

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and hasattr(self, "_band"):
            self._restyle()

    def _restyle(self) -> None:
        colours = plot_colours()
        self.setBackground(colours.background)
        series = [colours.green, colours.blue, colours.orange]
        names = self._courses or self._names
        pens = [series[min(at, 2)] for at in range(len(self._own) + 1)]
        named = [
            html('<span style="color: {}">{}</span>', pen.name(), name)
            for pen, name in zip(pens, names, strict=False)
        ]
        live = f"Live: {', '.join(named)}" if len(named) > 1 else "Live combinations"
        if self._courses:
            live = ", ".join(named)
        for plot, title in zip(self._plots, (live, "Density (% kept)"), strict=True):
            style_plot(plot, colours)
            plot.setTitle(title, color=colours.text.name(), size="8pt")
            plot.showGrid(x=True, y=True, alpha=0.15)
        for curve, pen in zip((self._live, *self._own), pens, strict=True):
            curve.setPen(pg.mkPen(pen, width=2))
        if self._before is not None:
            self._before.setPen(pg.mkPen(faded(colours.text, 110), width=2))
        for line in self._forks:
            line.setPen(pg.mkPen(colours.text, width=1, style=Qt.PenStyle.DashLine))
        self._least.setPen(pg.mkPen(colours.red, width=2))
        self._most.setPen(pg.mkPen(colours.red, width=1))
        self._band.setBrush(faded(colours.red, 50))
