"""Of a fork: where its curves cease to be its parent's, in words and in the plots."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePath

import pyqtgraph as pg
from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QSizePolicy, QWidget

from lbc.files.printable import printable
from lbc.runs.run_state import Parent
from lbc_gui.theme import PlotColours, faded
from lbc_gui.widgets.buttons import tool_button
from lbc_gui.widgets.layouts import row
from lbc_gui.widgets.text import ElidedLabel, plain

VEIL = 165
"""Opacity, of 255, of what dims the parent's part."""

FAR = 1e9
"""Epochs to the left of every plot."""


class ForkNote(QWidget):
    """A sentence with a button, hidden unless the run on screen is a fork."""

    compare_requested = Signal()
    """The user wants to compare the fork with its parent."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ElidedLabel()
        self.text.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self.text.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        tip = "Compare with its parent: curves, settings that differ, and masks"
        self.compare = tool_button("Compare", tip, self.compare_requested, "difference")
        self.compare.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        row((self.text, 1), self.compare, on=self)
        self.hide()

    def show_parent(self, parent: Parent | None) -> None:
        self.setVisible(parent is not None)
        if parent is not None:
            name = printable(PurePath(parent.folder).name)
            self.text.setText(f"Forked at epoch {round(parent.epoch, 2):g} from {name}")
            self.text.setToolTip(
                plain(f"{self.text.text()}. What is dimmed was trained before, in\n{parent.folder}")
            )


class ForkMarks:
    """In every plot a line where the fork begins, and a veil over what is its parent's."""

    def __init__(self, plots: Iterable[pg.PlotItem]) -> None:
        self._plots = tuple(plots)
        self._lines: list[pg.InfiniteLine] = []
        self._veils: list[pg.LinearRegionItem] = []

    def show_epoch(self, epoch: float | None, colours: PlotColours) -> None:
        """Mark the epoch at which the fork begins; nothing with None."""
        if epoch is not None and not self._lines:
            self._add()
        for line, veil in zip(self._lines, self._veils, strict=True):
            if epoch is not None:
                line.setValue(epoch)
                veil.setRegion((-FAR, epoch))
            line.setVisible(epoch is not None)
            veil.setVisible(epoch is not None)
        self.restyle(colours)

    def restyle(self, colours: PlotColours) -> None:
        for line, veil in zip(self._lines, self._veils, strict=True):
            line.setPen(pg.mkPen(colours.text, width=1, style=Qt.PenStyle.DashLine))
            veil.setBrush(faded(colours.background, VEIL))

    def _add(self) -> None:
        for plot in self._plots:
            line = pg.InfiniteLine(angle=90)
            veil = pg.LinearRegionItem(movable=False, pen=pg.mkPen(None))
            line.setZValue(16)
            veil.setZValue(15)  # above the curves, below the cursors
            for item in (line, veil):
                plot.addItem(item, ignoreBounds=True)
            self._lines.append(line)
            self._veils.append(veil)
