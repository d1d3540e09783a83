"""Plots with the colours, the grid and the numbers of the theme."""

from __future__ import annotations

from typing import Any

import pyqtgraph as pg
from PySide6.QtGui import QPainter, QPen

from lbc_gui.captions import with_minus
from lbc_gui.theme import PlotColours, faded, mixed


class GridAxis(pg.AxisItem):  # type: ignore[misc]
    """An axis whose grid is as faint as that of pyqtgraph, but opaque, which Qt draws faster.

    Negative numbers have a minus sign, not a hyphen.
    """

    def tickStrings(self, values: list[float], scale: float, spacing: float) -> list[str]:
        texts: list[str] = super().tickStrings(values, scale, spacing)
        return [with_minus(text) for text in texts]

    def generateDrawSpecs(self, painter: QPainter) -> Any:
        specs = super().generateDrawSpecs(painter)
        if specs is None:
            return None
        line, ticks, texts = specs
        pens: dict[int, QPen] = {}
        for pen, _, _ in ticks:
            colour = pen.color()
            if colour.alpha() not in pens:
                opaque = mixed(faded(colour, 255), colour.alphaF())
                pens[colour.alpha()] = QPen(opaque, pen.widthF())
        return line, [(pens[pen.color().alpha()], *ends) for pen, *ends in ticks], texts


def add_plot(
    plots: pg.GraphicsLayoutWidget, column: int = 0, row: int = 0, **axes: pg.AxisItem
) -> pg.PlotItem:
    """Add a plot without menu and buttons; what it does not show does not follow its range."""
    axes = {"left": GridAxis("left"), "bottom": GridAxis("bottom")} | axes
    plot = plots.addPlot(row, column, axisItems=axes, enableMenu=False)
    plot.hideButtons()
    plot.ctrlMenu, plot.subMenus = None, []  # seven menus that are never shown
    for name in ("left", "bottom", "top", "right"):
        plot.getAxis(name).setZValue(-1000)  # an opaque grid must be behind the lines
        plot.getAxis(name).autoSIPrefix = False  # no axis has units to find one for
        if name in ("top", "right"):
            plot.getAxis(name).unlinkFromView()
    return plot


def style_plot(plot: pg.PlotItem, colours: PlotColours) -> None:
    """Give a plot's axes and title the text colour."""
    for name in ("left", "bottom"):
        axis = plot.getAxis(name)
        axis.setTextPen(colours.text)
        axis.setPen(colours.grid)


def show_numbers(plot: pg.PlotItem, shown: bool) -> None:
    """Show the numbers of the axes; an empty plot has none."""
    for name in ("left", "bottom"):
        plot.getAxis(name).setStyle(showValues=shown)


def compact(plots: pg.GraphicsLayoutWidget) -> None:
    """Set small margins, for several plots in a small space."""
    plots.ci.setContentsMargins(2, 2, 6, 2)
    plots.ci.setSpacing(2)
