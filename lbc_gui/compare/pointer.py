"""The pointer over the runs of a pane: what it is on is hovered in all panes and named."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import pyqtgraph as pg
from PySide6.QtCore import QPoint, Qt, Signal
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QToolTip, QWidget

from lbc.files.printable import printable
from lbc_gui.compare.run_selection import RunSelection
from lbc_gui.widgets.plot import compact
from lbc_gui.widgets.text import plain

LONGEST = 120
"""Characters of a line: hundreds of settings may differ."""


class PointedPlot(pg.GraphicsLayoutWidget):  # type: ignore[misc]
    """Plots that say where the pointer is while no button is held."""

    pointed = Signal(object)
    """The place of the pointer in the scene."""

    def __init__(self, name: str) -> None:
        super().__init__()
        compact(self)
        self.setAccessibleName(name)
        self.setAccessibleDescription(f"{name}; the table of runs has the values")

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        super().mouseMoveEvent(event)
        if not event.buttons():
            self.pointed.emit(self.mapToScene(event.position().toPoint()))


class RunPointer:
    """Hovers and selects runs, several at once where they are drawn as one."""

    def __init__(self, selection: RunSelection, widget: QWidget) -> None:
        self._selection, self._widget = selection, widget

    def move(self, runs: Collection[Path], lines: Sequence[str], where: QPoint) -> None:
        """The pointer is on these runs, at a place on the screen; ``lines`` say what they are."""
        self._selection.hover(next(iter(runs), None))
        text = "\n".join(shortened(printable(line), LONGEST) for line in lines if line)
        QToolTip.showText(where, plain(text), self._widget)

    def click(self, runs: Collection[Path], modifiers: Qt.KeyboardModifier) -> None:
        """Select these runs: with Ctrl beside the others, or no longer."""
        beside = modifiers & Qt.KeyboardModifier.ControlModifier
        selected = self._selection.selection.selected
        self._selection.pick(selected ^ set(runs) if beside else runs)


def shortened(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
