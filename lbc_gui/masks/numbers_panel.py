"""A layer's mask in numbers: winners beside what chance would give, dead channels, agreement."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QEvent, Qt, Signal, Slot
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QWidget

from lbc.pictures.colour_keys import combination_colours
from lbc.pictures.glyphs import squares
from lbc.pictures.mask_numbers import Histogram, MaskNumbers
from lbc.sparsity.pattern import Pattern
from lbc_gui.masks.captions import chance_text, numbers_text
from lbc_gui.theme import TIGHT, faded, plot_colours
from lbc_gui.widgets.layouts import row
from lbc_gui.widgets.plot import add_plot, compact, style_plot
from lbc_gui.widgets.text import HtmlLabel, plain

MOST_NAMED = 6
"""Up to this many bars are labelled with their combination."""

MOST_NUMBERED = 16
"""Combinations of one position that are numbered by it."""

MOST_NUMBERS = 10
"""The most numbers that fit below the bars."""


class NumbersPanel(QWidget):
    """The numbers of the layer on screen."""

    channel_chosen = Signal(str, int)
    """"o" or "i", and the channel."""

    def __init__(self) -> None:
        super().__init__()
        self._shown: tuple[Histogram, Pattern] | None = None
        self._plots = pg.GraphicsLayoutWidget()
        compact(self._plots)
        self._plots.setAccessibleName("Histogram of the winning combinations")
        self._plots.setAccessibleDescription(
            "In how many blocks each combination wins, beside the number expected by chance"
        )
        self._plot = add_plot(self._plots)
        self._plot.setMouseEnabled(False, False)
        self._plot.setLabel("left", "blocks")
        small = self.font()
        small.setPointSizeF(small.pointSizeF() * 0.75)
        # Names under the first and the last bar may reach a little past the axis.
        self._plot.getAxis("bottom").setStyle(tickFont=small, hideOverlappingLabels=False)
        top_left = Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft
        self._text = HtmlLabel(wordWrap=True, margin=TIGHT, alignment=top_left)
        self._text.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
        self._text.linkActivated.connect(self._link)
        row((self._plots, 1), (self._text, 1), on=self)
        self.setMinimumHeight(150)

    @property
    def text(self) -> str:
        return self._text.text()

    def clear(self) -> None:
        self._shown = None
        self._plot.clear()
        self._text.clear()

    def show_numbers(self, numbers: MaskNumbers, pattern: Pattern, against: str) -> None:
        """``against`` names what the mask is compared with."""
        self._text.setText(numbers_text(numbers, against))
        self._text.setToolTip(plain(chance_text(numbers, pattern)))
        self._shown = None if numbers.winners is None else (numbers.winners, pattern)
        self._draw()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and hasattr(self, "_text"):
            self._draw()

    @Slot(str)
    def _link(self, link: str) -> None:
        self.channel_chosen.emit(link[0], int(link[1:]))

    def _draw(self) -> None:
        colours = plot_colours()
        self._plots.setBackground(colours.background)
        style_plot(self._plot, colours)
        self._plot.clear()
        if self._shown is None:
            return
        found, pattern = self._shown
        places = np.arange(len(found.counts))
        band = pg.LinearRegionItem(
            (found.expected - 2 * found.deviation, found.expected + 2 * found.deviation),
            orientation="horizontal", movable=False,
            brush=faded(colours.text, 40), pen=pg.mkPen(None),
        )  # fmt: skip
        self._plot.addItem(band)
        self._plot.addItem(pg.BarGraphItem(
            x=places, height=found.counts, width=0.8, pen=pg.mkPen(None),
            brushes=_brushes(found, pattern, colours.blue),
        ))  # fmt: skip
        pen = pg.mkPen(colours.text, width=1, style=Qt.PenStyle.DashLine)
        self._plot.addItem(pg.InfiniteLine(found.expected, angle=0, pen=pen))
        axis = self._plot.getAxis("bottom")
        axis.setTicks(_ticks(found, pattern))
        what = "positions kept" if found.by_position else "winners"
        self._plot.setLabel("bottom", f"{what} (dashed: chance)")
        self._plot.setXRange(-0.6, len(places) - 0.4, padding=0)
        top = max(int(found.counts.max()), found.expected + 2 * found.deviation)
        self._plot.setYRange(0, 1.05 * top, padding=0)


def _brushes(found: Histogram, pattern: Pattern, plain: QColor) -> list[QColor]:
    """The colours that the combinations have in the picture."""
    if found.by_position:
        return [plain] * len(found.counts)
    return [QColor(*rgb) for rgb in combination_colours(np.arange(pattern.count), pattern).tolist()]


def _ticks(found: Histogram, pattern: Pattern) -> list[list[tuple[int, str]]]:
    count = len(found.counts)
    if found.by_position or (pattern.n == 1 and count <= MOST_NUMBERED):
        return [[(j, str(j)) for j in range(0, count, -(-count // MOST_NUMBERS))]]
    if count <= MOST_NAMED:
        # In two alternating rows: side by side they would touch in a small window.
        names = [squares(pattern, c) for c in range(count)]
        return [[(c, f"\n{name}" if c % 2 else f"{name}\n") for c, name in enumerate(names)]]
    return [[]]
