"""What N:M and schedule imply, before anything runs: live combinations and density over epochs."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QEvent

from lbc.sparsity.pattern import Pattern
from lbc.sparsity.schedule import Schedule, density_bounds
from lbc_gui.theme import compact, faded, plot_colours, style_plot

POINTS = 400
"""More than a small plot has pixels."""


class SchedulePreview(pg.GraphicsLayoutWidget):  # type: ignore[misc]
    """Two small plots. Density is a band: which union of combinations lives is up to training."""

    def __init__(self) -> None:
        super().__init__()
        self.setFixedHeight(126)
        compact(self)
        self._plots = [self.addPlot(row=0, col=column, enableMenu=False) for column in range(2)]
        for plot in self._plots:
            plot.hideButtons()
            plot.setMouseEnabled(False, False)
            plot.getAxis("left").setWidth(30)
        self._live = self._plots[0].plot(stepMode="right")
        self._least = self._plots[1].plot(stepMode="right")
        self._most = self._plots[1].plot(stepMode="right")
        self._band = pg.FillBetweenItem(self._least, self._most)
        self._plots[1].addItem(self._band)
        self.setToolTip(
            "Left: combinations live in every block. Right: the least and the most weights that "
            "many combinations can keep. While two live, their union holds at least N + 1 of the "
            "M positions, so density falls to N/M only when the last one is left."
        )
        self._restyle()

    def show_schedule(
        self, pattern: Pattern, schedule: Schedule, epochs: int, by_step: bool = False
    ) -> None:
        """Redraw for ``epochs`` epochs: one point at the end of each, or with ``by_step`` many."""
        moments = np.linspace(0, epochs, POINTS + 1)
        if not by_step:
            moments = np.unique(np.linspace(0, epochs, min(epochs, POINTS) + 1).round())
        live = [schedule.live(pattern, float(epoch)) for epoch in moments]
        cache = {count: density_bounds(pattern, count) for count in set(live)}
        bounds = np.array([cache[count] for count in live]) * 100
        self._live.setData(moments, np.array(live, dtype=float))
        self._least.setData(moments, bounds[:, 0])
        self._most.setData(moments, bounds[:, 1])
        for plot in self._plots:
            plot.setXRange(0, epochs, padding=0.02)
        self._plots[0].setYRange(0, pattern.count, padding=0.05)
        self._plots[1].setYRange(0, 100, padding=0.05)

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and hasattr(self, "_band"):
            self._restyle()

    def _restyle(self) -> None:
        colours = plot_colours()
        self.setBackground(colours.background)
        for plot, title in zip(self._plots, ("Live combinations", "Density (% kept)"), strict=True):
            style_plot(plot, colours)
            plot.setTitle(title, color=colours.text.name(), size="8pt")
            plot.showGrid(x=True, y=True, alpha=0.15)
        self._live.setPen(pg.mkPen(colours.green, width=2))
        self._least.setPen(pg.mkPen(colours.red, width=2))
        self._most.setPen(pg.mkPen(colours.red, width=1))
        self._band.setBrush(faded(colours.red, 50))
