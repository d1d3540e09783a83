"""The heatmap of one layer: zoom, pan, hover, pin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import ceil, floor
from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QPointF, QRectF, Qt, Signal, Slot
from PySide6.QtWidgets import QVBoxLayout

from lbc.pictures.colour_keys import Key
from lbc.pictures.level_of_detail import Detail
from lbc.pictures.live_picture import Part
from lbc.pictures.score_codes import Fold
from lbc.pictures.score_snapshot import Drawn, KeyedCodes
from lbc_gui.heatmap.cell_labels import CellLabels, score_words
from lbc_gui.heatmap.cells_view import CellsView, Table
from lbc_gui.heatmap.pin_frames import Frame, PinFrames
from lbc_gui.theme import GAP
from lbc_gui.widgets.plot import show_numbers
from lbc_gui.widgets.text import Label

_DIM = 0.15
"""How much is left of the colour of cells that are not lit."""


class _CellAxis(pg.AxisItem):  # type: ignore[misc]
    """An axis in blocks or channels over a picture in cells."""

    cells = 1

    def tickStrings(self, values: list[float], scale: float, spacing: float) -> list[str]:
        if spacing < self.cells:
            return [f"{v / self.cells:.0f}" if v % self.cells == 0 else "" for v in values]
        return [f"{v / self.cells:.0f}" for v in values]

    def tickValues(self, low: float, high: float, size: float) -> list[tuple[float, list[float]]]:
        low, high = min(low, high), max(low, high)
        spacings = self.tickSpacing(low, high, size)
        if not spacings:
            return []
        spacing = spacings[0][0]
        numbers = range(ceil(low / spacing), floor(high / spacing) + 1)
        return [(spacing, [number * spacing for number in numbers])]

    def tickSpacing(self, low: float, high: float, size: float) -> list[tuple[float, float]]:
        blocks = [
            (s, 0.0) for s, _ in super().tickSpacing(low / self.cells, high / self.cells, size)
        ]
        whole = sorted({max(1.0, float(round(s))) for s, _ in blocks}, reverse=True)
        return [(s * self.cells, 0.0) for s in whole[:1]]


class HeatmapView(CellsView):
    """Draws snapshots.

    ``words`` returns the text of a cell that is large enough for it.
    """

    pinned = Signal(int, bool)
    """The block that was clicked, and whether Ctrl was held down."""
    part_shown = Signal(object)
    """Part that is visible now."""
    scale_shown = Signal(object)
    """Scale of the colours on screen: that of the cells, or of whole blocks."""

    def __init__(self, words: Callable[[Any, int, int], tuple[str, str]] = score_words) -> None:
        axes = {name: _CellAxis(name) for name in ("left", "bottom")}
        super().__init__(axes, "block of the channel")
        self._axes = axes
        self._snapshot: Drawn | None = None
        self._fold: Fold | None = None
        self._layer = ""
        self._pins: Mapping[int, int] = {}
        self._pinned: int | None = None
        self._leader: HeatmapView | None = None
        self._labels = CellLabels(words)
        self._box.addItem(self._labels, ignoreBounds=True)
        self._scale: Key | None = None
        self._part: Part | None = None
        self._frames = PinFrames()
        self._box.addItem(self._frames, ignoreBounds=True)
        self._lit: range | None = None
        self.sentence = Label(wordWrap=True)
        """Why there is no picture, in the place of it."""
        self.sentence.setAutoFillBackground(True)
        self.sentence.setMargin(GAP)
        self.sentence.hide()
        QVBoxLayout(self.viewport()).addWidget(self.sentence, 0, Qt.AlignmentFlag.AlignCenter)
        self.setAccessibleName("Score heatmap")
        self.setAccessibleDescription(
            "Rows are output channels, and inside a block of a row each cell is a combination in "
            "the colour of its score. The panel Block has the values of a pinned block"
        )
        show_numbers(self._plot, False)
        self._restyle()

    @property
    def picture_size(self) -> tuple[int, int] | None:
        return None if self._fold is None else self._fold.size

    @property
    def part(self) -> Part:
        """What of the picture is visible."""
        (x0, x1), (y0, y1) = self.view_range
        return Part(x0, y0, x1, y1, *self.pixels)

    def show_snapshot(self, snapshot: Drawn) -> None:
        """Draw a new frame; the zoom stays where the layer is the same."""
        self._snapshot = snapshot
        if snapshot.fold != self._fold or snapshot.layer != self._layer:
            self._fold = snapshot.fold
            self._layer = snapshot.layer
            height, width = snapshot.fold.size
            rows, columns = snapshot.fold.grid
            show_numbers(self._plot, True)
            self._axes["left"].cells, self._axes["bottom"].cells = rows, columns
            self._box.setLimits(
                xMin=0, xMax=width, yMin=0, yMax=height, minXRange=columns, minYRange=rows
            )
            if self._leader is None:
                self.fit()
            else:
                self._box.setRange(self._leader._box.viewRect(), padding=0)
            self.zooms.clear()
        self._labels.show_snapshot(snapshot)
        self._place_frames()
        self._draw()

    def clear_picture(self) -> None:
        self._snapshot = self._fold = self._scale = None
        show_numbers(self._plot, False)
        self.cells.clear()
        self._labels.show_snapshot(None)
        self._place_frames()

    def say(self, sentence: str) -> None:
        """Say in the frame why there is no picture of what is wanted; nothing with no sentence."""
        self.sentence.setText(sentence)
        self.sentence.setVisible(bool(sentence))

    def show_pins(self, current: int | None, pins: Mapping[int, int]) -> None:
        """Frame the pinned blocks with their numbers, ``current`` with a thicker line."""
        self._pinned, self._pins = current, pins
        self._place_frames()

    @Slot(object)
    def light(self, codes: range | None) -> None:
        """Dim all cells but those with one of these colour codes; None dims nothing."""
        self._lit = codes
        self._draw()

    def reveal(self, block: int) -> None:
        """Bring a block into view; the zoom stays."""
        if self._fold is None or not 0 <= block < self._fold.blocks:
            return
        box, view = self._rect(block), self._box.viewRect()
        if not view.contains(box):
            view.moveCenter(box.center())
            self._box.setRange(view, padding=0)
            self.zooms.moved()

    @property
    def visible(self) -> tuple[float, float, float, float] | None:
        """First column and row, width and height of what is visible; None if it is all."""
        (x0, x1), (y0, y1) = self.view_range
        if self._fold is None or (round(y1 - y0), round(x1 - x0)) == self._fold.size:
            return None
        return x0, y0, x1 - x0, y1 - y0

    def show_cells(self, x: float, y: float, width: float, height: float) -> None:
        """Zoom to some cells of the picture."""
        self._box.setRange(QRectF(x, y, width, height), padding=0)
        self.zooms.moved()

    def move_with(self, other: HeatmapView) -> None:
        """Always show the same part of the picture as another view of the same fold."""
        self._leader = other
        self._box.setXLink(other._box)
        self._box.setYLink(other._box)
        self.zooms.changed.connect(self._lead)

    @Slot()
    def _lead(self) -> None:
        """Zoom and pan the other view like this one."""
        leader, range_ = self._leader, self._box.viewRect()
        if leader is not None and self.isVisible() and leader._box.viewRect() != range_:
            leader._box.setRange(range_, padding=0)
            leader.zooms.moved()

    def block_centre(self, block: int) -> QPointF:
        """The centre of a block, in this widget's pixels."""
        middle = self._rect(block).center()
        return self.point_of(middle.x(), middle.y())

    def middle_block(self) -> int | None:
        """The block in the middle of what is visible; None without a picture."""
        if self._fold is None:
            return None
        middle, (rows, columns) = self._box.viewRect().center(), self._fold.grid
        row, column = int(middle.y()) // rows, int(middle.x()) // columns
        return row * self._fold.blocks_per_row + column

    def neighbour(self, block: int, across: int, down: int) -> int | None:
        """The block so many further to the right and below; None beyond the border."""
        if self._fold is None:
            return None
        row, column = divmod(block, self._fold.blocks_per_row)
        row, column = row + down, column + across
        inside = 0 <= row < self._fold.outputs and 0 <= column < self._fold.blocks_per_row
        return row * self._fold.blocks_per_row + column if inside else None

    @Slot()
    def _draw(self) -> None:
        snapshot = self._snapshot
        if snapshot is None:
            return
        if self.part != self._part:
            self._part = self.part
            self.part_shown.emit(self._part)
        picture, part = self._visible(snapshot)
        if part.codes.size == 0:
            return
        scale = picture.scale
        table = scale.table(self.ground)
        self.cells.show_part(part, table if self._lit is None else self._dimmed(table, self._lit))
        self.refresh()
        if scale != self._scale:
            self._scale = scale
            self.scale_shown.emit(scale)

    def _visible(self, snapshot: Drawn) -> tuple[KeyedCodes, Detail]:
        """What of the range is drawn: cells where each has the pixels it needs, else blocks."""
        level, part = self.part.of(snapshot)
        if level == "cells":
            return snapshot.cells, part
        rows, columns = snapshot.fold.grid
        return snapshot.summary, Detail(
            part.codes, part.x * columns, part.y * rows, part.width * columns, part.height * rows
        )

    def _dimmed(self, table: Table, lit: range) -> Table:
        dimmed = (table * _DIM + np.array(self.ground) * (1 - _DIM)).astype(np.uint8)
        dimmed[lit.start : lit.stop] = table[lit.start : lit.stop]
        return dimmed

    def _place_frames(self) -> None:
        blocks = 0 if self._fold is None else self._fold.blocks
        self._frames.show_frames([
            Frame(self._rect(block), number, block == self._pinned)
            for block, number in self._pins.items()
            if block < blocks
        ])  # fmt: skip
        self.refresh()

    def _rect(self, block: int) -> QRectF:
        """The rectangle of a block, in cells."""
        assert self._fold is not None
        row, column = self._fold.corner(block)
        rows, columns = self._fold.grid
        return QRectF(column, row, columns, rows)

    def _found(self, row: int, column: int) -> tuple[int, int] | None:
        """Block and cell."""
        return None if self._fold is None else self._fold.locate(row, column)

    def _clicked(self, found: tuple[int, int], event: Any) -> None:
        beside = bool(event.modifiers() & Qt.KeyboardModifier.ControlModifier)
        self.pinned.emit(found[0], beside)
