"""When the blocks of two runs were decided, and how often those of all runs changed before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyqtgraph as pg
from PySide6.QtCore import QEvent
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QWidget

from lbc.comparison.search_course import LayerCourse, SearchCourse
from lbc.files.printable import printable
from lbc_gui.export.view_export import Data, as_csv
from lbc_gui.export.view_renderer import Picture
from lbc_gui.theme import compact, faded, plot_colours, style_plot
from lbc_gui.widgets.layouts import column
from lbc_gui.widgets.text import HtmlLabel, html

MOST_BARS = 40
"""Bars of one run; with more epochs than that several share a bar."""

LONGEST_NAME = 24

DECIDED, CHANGED = "decided, % of blocks", "changed, % of blocks"

Floats = npt.NDArray[np.float64]


class CoursePlots(QWidget):
    """Two plots over epochs, in per cent of the blocks of a layer or of the whole network.

    Two runs are in colour; the flips of the others are thin and grey.
    """

    def __init__(self) -> None:
        super().__init__()
        self.setMinimumSize(200, 120)
        self._key = HtmlLabel()
        self._key.setMinimumWidth(1)
        self._plots = pg.GraphicsLayoutWidget()
        self._plots.setAccessibleName("When blocks were decided, and flips per epoch")
        compact(self._plots)
        self._courses: Mapping[int, SearchCourse] = {}
        self._names: Sequence[str] = ()
        self._layer: str | None = None
        self._pair: tuple[int, int] | None = None
        self._decided, self._flips = (self._add_plot(at) for at in range(2))
        column(self._key, (self._plots, 1), on=self)
        self._restyle()

    def _add_plot(self, at: int) -> pg.PlotItem:
        plot = self._plots.addPlot(0, at, enableMenu=False)
        plot.hideButtons()
        plot.setMouseEnabled(x=False, y=False)
        plot.getAxis("left").setWidth(48)
        plot.getAxis("bottom").setStyle(maxTickLevel=0)
        return plot

    def show_courses(
        self, names: Sequence[str], courses: Mapping[int, SearchCourse], layer: str | None
    ) -> None:
        """The searches that are known, by the number of their run; ``layer`` None is all."""
        self._names, self._courses, self._layer = names, courses, layer
        self._draw()

    def show_pair(self, first: int, second: int) -> None:
        """The two runs in colour."""
        if self._pair != (first, second):
            self._pair = first, second
            self._draw()

    def picture_to_save(self) -> Picture | None:
        if not self._courses:
            return None
        where = "all layers" if self._layer is None else self._layer or "model"
        return Picture("decisions and flips", f"Decisions and flips · {where}", self)

    def data_to_save(self) -> Data | None:
        """One row for every run, layer and epoch: blocks decided and changed within it."""
        rows = [
            (self._names[run], name or "model", epoch, int(decided), flips, layer.blocks)
            for run, course in sorted(self._courses.items())
            for name, layer in course.layers.items()
            for epoch, decided, flips in zip(
                range(course.epochs + 1),
                _by_epoch(course, layer),
                ["", *layer.flips.tolist()],
                strict=True,
            )
        ]
        columns = ("run", "layer", "epoch", "decided_blocks", "changed_blocks", "blocks")
        return Data("decisions and flips", {".csv": as_csv(columns, len(rows), rows)})

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and hasattr(self, "_flips"):
            self._restyle()

    def _restyle(self) -> None:
        now = plot_colours()
        self._plots.setBackground(now.background)
        for plot, left in ((self._decided, DECIDED), (self._flips, CHANGED)):
            style_plot(plot, now)
            plot.showGrid(x=False, y=True, alpha=0.15)
            plot.getAxis("left").setLabel(left, color=now.text.name())
            plot.getAxis("bottom").setLabel("epoch", color=now.text.name())
        self._draw()

    def _draw(self) -> None:
        now, pair = plot_colours(), self._pair or ()
        coloured = dict(zip(dict.fromkeys(pair), (now.blue, now.orange), strict=False))
        for plot in (self._decided, self._flips):
            plot.clear()
        found = {run: course for run, course in self._courses.items() if self._has_layer(course)}
        last = max((course.epochs for course in found.values()), default=1)
        width = -(-last // MOST_BARS)
        for place, (run, colour) in enumerate(coloured.items()):
            if run in found:
                bars = _bars(_by_epoch(found[run], self._of(found[run])), width)
                x = width * (np.arange(len(bars)) + 0.4 * (place - 0.5 * (len(coloured) - 1)))
                x -= 0.5 * (width - 1)  # a bar's last epoch is that under its right half
                self._decided.addItem(
                    pg.BarGraphItem(
                        x=x, height=bars, width=0.4 * width, brush=colour, pen=pg.mkPen(None)
                    )
                )
        others = [run for run in found if run not in coloured]
        for run in (*others, *(run for run in coloured if run in found)):
            self._draw_flips(self._of(found[run]), coloured.get(run))
        for plot in (self._decided, self._flips):
            plot.setXRange(-0.6 * width if plot is self._decided else 0, last + 0.6, padding=0.01)
            plot.enableAutoRange("y")
        names = [
            html(
                '<span style="color: {}">■</span> {}', colour.name(), self._name(run, run in found)
            )
            for run, colour in coloured.items()
        ]
        others_drawn = [html("{}", "thin: the other runs")] if others else []
        self._key.setText(" &nbsp; ".join([*names, *others_drawn]))

    def _draw_flips(self, layer: LayerCourse, colour: QColor | None) -> None:
        if len(layer.flips):
            pen = pg.mkPen(faded(plot_colours().text, 70) if colour is None else colour)
            pen.setWidthF(1.0 if colour is None else 2.0)
            epochs = np.arange(1, len(layer.flips) + 1)
            self._flips.plot(epochs, 100 * layer.flips / layer.blocks, pen=pen)

    def _has_layer(self, course: SearchCourse) -> bool:
        return self._layer is None or self._layer in course.layers

    def _of(self, course: SearchCourse) -> LayerCourse:
        return course.whole() if self._layer is None else course.layers[self._layer]

    def _name(self, run: int, known: bool) -> str:
        if run >= len(self._names):
            return ""
        name = printable(self._names[run])
        name = name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
        return name if known else f"{name} (not read yet)"


def _by_epoch(course: SearchCourse, layer: LayerCourse) -> Floats:
    """Blocks that never changed, then those decided within each whole epoch: (E + 1,).

    What follows the last whole epoch of a run that is not over counts into it.
    """
    epochs = np.minimum(np.ceil(course.moments).astype(np.int64), course.epochs)
    found = np.bincount(epochs, weights=layer.final, minlength=course.epochs + 1)
    return found.astype(np.float64)


def _bars(blocks: Floats, width: int) -> Floats:
    """Per cent of the blocks in bars of ``width`` epochs; the first stays alone."""
    rest = blocks[1:]
    rest = np.pad(rest, (0, -len(rest) % width)).reshape(-1, width).sum(axis=1)
    return np.asarray(100 * np.concatenate((blocks[:1], rest)) / max(1.0, blocks.sum()))
