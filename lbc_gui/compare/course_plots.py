"""When the blocks of two runs were decided, and how often those of all runs changed before."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyqtgraph as pg
from PySide6.QtCore import QEvent, QTimer, Slot
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QWidget

from lbc.comparison.search_course import LayerCourse, SearchCourse
from lbc.files.printable import printable
from lbc_gui.export.view_export import Data, as_csv
from lbc_gui.export.view_renderer import Picture
from lbc_gui.theme import faded, plot_colours
from lbc_gui.turns import call_later
from lbc_gui.widgets.epoch_axis import EpochAxis
from lbc_gui.widgets.layouts import column
from lbc_gui.widgets.plot import add_plot, compact, style_plot
from lbc_gui.widgets.text import HtmlLabel, html

MOST_BARS = 40
"""Bars of one run; with more epochs than that several share a bar."""

LONGEST_NAME = 24

REDRAW_MILLISECONDS = 30
"""After the mouse has reached another cell; it may cross many cells at once."""

DECIDED, CHANGED = "decided (%)", "changed (%)"
"""Of the blocks."""

Floats = npt.NDArray[np.floating[Any]]

_NO_LINE: Floats = np.empty((2, 0))


class CoursePlots(QWidget):
    """Two plots over epochs, in per cent of the blocks of a layer or of the whole network.

    Two runs are in colour, that of ``colour_of`` their numbers; the flips of the others are thin
    and grey.
    """

    def __init__(self, colour_of: Callable[[int], QColor]) -> None:
        super().__init__()
        self._colour_of = colour_of
        self.setMinimumSize(200, 120)
        self._key = HtmlLabel(wordWrap=True)
        self._key.setMinimumWidth(1)
        self._plots = pg.GraphicsLayoutWidget()
        self._plots.setAccessibleName("When blocks were decided, and flips per epoch")
        self._plots.setAccessibleDescription(
            "For each run, over the epochs, the share of its blocks that are decided and the share "
            "whose best combination changed"
        )
        compact(self._plots)
        self._courses: Mapping[int, SearchCourse] = {}
        self._names: Sequence[str] = ()
        self._layer: str | None = None
        self._known: dict[int, LayerCourse] = {}
        """Of ``_layer``, by run."""
        self._pair: tuple[int, int] | None = None
        self._redraw = QTimer(self, singleShot=True, interval=REDRAW_MILLISECONDS)
        self._redraw.timeout.connect(self._draw_pair)
        self._decided = self._add_plot(0)
        column(self._key, (self._plots, 1), on=self)
        call_later(self, self._add_flips)  # it takes as long as the rest

    @Slot()
    def _add_flips(self) -> None:
        self._flips = self._add_plot(1)
        self._every = self._flips.plot(connect="finite")
        self._lines = [self._flips.plot() for _ in range(2)]
        self._bars = [pg.BarGraphItem(x=[], height=[], width=0.4) for _ in range(2)]
        for bars in self._bars:
            self._decided.addItem(bars)
        self._restyle()

    def _add_plot(self, at: int) -> pg.PlotItem:
        plot = add_plot(self._plots, at, bottom=EpochAxis(whole=True))
        plot.setMouseEnabled(x=False, y=False)
        plot.getAxis("left").setWidth(48)
        plot.getAxis("bottom").setStyle(maxTickLevel=0)
        return plot

    def show_courses(
        self, names: Sequence[str], courses: Mapping[int, SearchCourse], layer: str | None
    ) -> None:
        """The searches that are known, by the number of their run; ``layer`` None is all."""
        self._names, self._layer = names, layer
        self._courses = courses
        if self._pair is not None and max(self._pair) >= len(names):
            self._pair = None  # of other runs
        self._known = {
            run: course.whole() if layer is None else course.layers[layer]
            for run, course in courses.items()
            if layer is None or layer in course.layers
        }
        self._draw()

    def show_pair(self, first: int, second: int) -> None:
        """The two runs in colour."""
        if self._pair != (first, second):
            self._pair = first, second
            self._redraw.start()

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
        if not hasattr(self, "_flips"):
            return
        lines = [_line(layer) for layer in self._known.values()]
        x, y = np.concatenate(lines, axis=1) if lines else _NO_LINE
        self._every.setData(x, y, pen=pg.mkPen(faded(plot_colours().text, 70)))
        width, last = self._bar_width(), self._last()
        self._decided.setXRange(-0.6 * width, last + 0.6, padding=0.01)
        self._flips.setXRange(0, last + 0.6, padding=0.01)
        self._draw_pair()

    @Slot()
    def _draw_pair(self) -> None:
        now, pair = plot_colours(), list(dict.fromkeys(self._pair or ()))
        width = self._bar_width()
        # Of many runs several have the same colour.
        chosen = [*dict.fromkeys(self._colour_of(run).name() for run in pair), now.text.name()]
        names = []
        for place in range(2):
            colour = QColor(chosen[min(place, len(chosen) - 1)])
            run = pair[place] if place < len(pair) else None
            layer = None if run is None else self._known.get(run)
            x: Floats = np.empty(0)
            heights, line = x, _NO_LINE
            if run is not None and layer is not None:
                heights = _heights(_by_epoch(self._courses[run], layer), width)
                x = width * (np.arange(len(heights)) + 0.4 * (place - 0.5 * (len(pair) - 1)))
                x -= 0.5 * (width - 1)  # the last epoch of a bar is under its right half
                line = _line(layer)
            self._bars[place].setOpts(
                x=x, height=heights, width=0.4 * width, brush=colour, pen=pg.mkPen(None)
            )
            self._lines[place].setData(*line, pen=pg.mkPen(colour, width=2))
            if run is not None:
                sign = '<span style="color: {}">■</span> {}'
                names.append(html(sign, colour.name(), self._name(run, layer is not None)))
        if len(self._known) > len(pair):
            names.append(html("{}", "thin: the other runs"))
        self._key.setText(" &nbsp; ".join(names))

    def _last(self) -> int:
        """The last epoch of the longest run; the first, while no run has ended an epoch."""
        return max([1, *(self._courses[run].epochs for run in self._known)])

    def _bar_width(self) -> int:
        """Epochs that share a bar."""
        return -(-self._last() // MOST_BARS)

    def _name(self, run: int, known: bool) -> str:
        if run >= len(self._names):
            return ""
        name = printable(self._names[run])
        if len(name) > LONGEST_NAME:  # the ends tell runs of one experiment apart
            name = f"{name[: LONGEST_NAME // 3]}…{name[-LONGEST_NAME // 2 :]}"
        name = f"{run + 1} {name}"
        return name if known else f"{name} (search not read)"


def _line(layer: LayerCourse) -> Floats:
    """Epochs, and per cent of the blocks that changed within each, ended by a gap: (2, E + 1)."""
    flips = np.append(100 * layer.flips / layer.blocks, np.nan)
    return np.array([np.arange(1, len(flips) + 1), flips])


def _by_epoch(course: SearchCourse, layer: LayerCourse) -> Floats:
    """Blocks that never changed, then those decided within each whole epoch: (E + 1,).

    What follows the last whole epoch of a run that is not over counts into it.
    """
    epochs = np.minimum(np.ceil(course.moments).astype(np.int64), course.epochs)
    found = np.bincount(epochs, weights=layer.final, minlength=course.epochs + 1)
    return found.astype(np.float64)


def _heights(blocks: Floats, width: int) -> Floats:
    """Per cent of the blocks in bars of ``width`` epochs; the first stays alone."""
    rest = blocks[1:]
    rest = np.pad(rest, (0, -len(rest) % width)).reshape(-1, width).sum(axis=1)
    return np.asarray(100 * np.concatenate((blocks[:1], rest)) / max(1.0, blocks.sum()))
