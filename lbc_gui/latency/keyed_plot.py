"""One plot with a key above it, as the pictures of measurements and estimates share it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyqtgraph as pg
from PySide6.QtGui import QColor, QResizeEvent
from PySide6.QtWidgets import QWidget

from lbc_gui.theme import TIGHT, plot_colours
from lbc_gui.widgets.layouts import column
from lbc_gui.widgets.log_axis import LogAxis
from lbc_gui.widgets.plot import add_plot, compact, style_plot
from lbc_gui.widgets.text import HtmlLabel, html

Floats = npt.NDArray[np.float64]


class KeyedPlot(QWidget):
    """One plot, what its colours mean written above it."""

    def __init__(self, left: str, bottom: str, logarithmic: Sequence[str]) -> None:
        super().__init__()
        self._labels = {"left": left, "bottom": bottom}
        self._entries: list[str] = []
        self._notes: dict[str, None] = {}
        self._title = ""
        self._cases: tuple[str, ...] = ()
        self._names: list[tuple[int, str]] = []
        self._key = HtmlLabel(wordWrap=True)
        self._key.setContentsMargins(TIGHT, TIGHT, TIGHT, 0)
        self._graphics = pg.GraphicsLayoutWidget()
        compact(self._graphics)
        axes = {side: LogAxis(side) for side in logarithmic}
        self.plot = add_plot(self._graphics, **axes)
        column(self._key, (self._graphics, 1), on=self).setSpacing(0)
        self.restyle()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if self._cases:
            self.name_cases(self._cases)

    def empty(self) -> None:
        self.plot.clear()
        self._entries, self._notes = [], {}

    def show_title(self, title: str) -> None:
        """Write a title into the picture, above its axes."""
        if title != self._title:
            self._title = title
            self.restyle()

    def label_axis(self, side: str, label: str) -> None:
        if self._labels[side] != label:
            self._labels[side] = label
            self.restyle()

    def explain(self, symbol: str, colour: QColor, text: str) -> None:
        """Add an entry to the key above the plot."""
        entry = '<span style="color: {}">{}</span>&nbsp;{}'
        self._entries.append(html(entry, colour.name(), symbol, text))

    def note(self, text: str) -> None:
        """Add a remark at the end of the key, once."""
        self._notes[html("{}", text)] = None

    def add_whiskers(
        self, x: Floats, y: Floats, low: Floats, high: Floats, colour: QColor, beam: float
    ) -> None:
        """Draw the intervals from ``low`` to ``high`` around points, with beams this wide."""
        pen, top, bottom = pg.mkPen(colour, width=1.2), high - y, y - low
        self.plot.addItem(pg.ErrorBarItem(x=x, y=y, top=top, bottom=bottom, beam=beam, pen=pen))

    def name_cases(self, cases: Sequence[str]) -> None:
        """Names below the bars, on two alternating lines if there are many."""
        self._cases = tuple(cases)
        lines, count = 2 if len(cases) > 6 else 1, max(1, len(cases))
        wide = self._graphics.width() // self._graphics.fontMetrics().averageCharWidth()
        room, last = max(6, (wide - 8) * lines // count), len(cases) - 1
        # A name that would reach beyond the axis is not drawn at all.
        edge = min(room, max(6, wide // count + 2))
        names = [
            (at, "\n" * (at % lines) + _short(name, edge if at in (0, last) else room))
            for at, name in enumerate(cases)
        ]
        if names != self._names:  # the axis would be drawn again, which takes long
            self._names = names
            self.plot.getAxis("bottom").setTicks([names])
            self.plot.getAxis("bottom").setHeight(20 + 14 * lines)

    def finish(self) -> None:
        """Show the key and the whole range."""
        self._key.setText(" &nbsp; ".join([*self._entries, *self._notes]))
        self._key.setVisible(bool(self._entries))
        self.plot.enableAutoRange()
        self.plot.getViewBox().updateAutoRange()  # now: while painting, it would paint again

    def restyle(self) -> None:
        colours = plot_colours()
        self._graphics.setBackground(colours.background)
        style_plot(self.plot, colours)
        if self._title:
            self.plot.setTitle(html("{}", self._title), color=colours.text.name(), size="8pt")
        for side, label in self._labels.items():
            self.plot.getAxis(side).setLabel(label, color=colours.text.name())
        left, bottom = self._labels["left"], self._labels["bottom"]
        self._graphics.setAccessibleName(left)
        over = f" over {bottom}" if bottom else ""
        self._graphics.setAccessibleDescription(f"{self._title or left}{over}; tables have it too")
        self.plot.showGrid(x=True, y=True, alpha=0.15)


def _short(name: str, room: int) -> str:
    """The end of a name that does not fit: it is what differs between layers."""
    return name if len(name) <= room else f"…{name[1 - room :]}"
