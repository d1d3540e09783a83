"""The pinned block: where it is, its weights, its combinations and its history."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import Qt, Slot
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QTabWidget, QWidget

from lbc.pictures.mask_snapshot import MaskSnapshot
from lbc.pictures.moment_copier import Pin
from lbc.pictures.score_snapshot import BlockState, Snapshot
from lbc_gui.block.combinations_table import SHOWN_ROWS, CombinationRow, CombinationsTable
from lbc_gui.block.intervention_buttons import InterventionButtons
from lbc_gui.block.life_view import LifeView
from lbc_gui.block.pins import PinList
from lbc_gui.captions import place, with_minus
from lbc_gui.export.snapshot_data import block_data
from lbc_gui.export.view_export import Data
from lbc_gui.export.view_renderer import Picture
from lbc_gui.help.explanations import help_button
from lbc_gui.run.view_state import View, ViewState
from lbc_gui.theme import MARGIN, TIGHT, plot_colours
from lbc_gui.widgets.buttons import tool_button
from lbc_gui.widgets.layouts import column, row
from lbc_gui.widgets.text import HtmlLabel, Label, html, plain

PANEL_WIDTH = 294
"""Pixels below which the table's columns would be cut."""

HINT = "Click a block in the heatmap, or press Ctrl+B, to pin it here."


class WeightBars(QWidget):
    """The block's M weights as bars about zero; masked ones are hollow."""

    def __init__(self) -> None:
        super().__init__()
        self.setMinimumHeight(84)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._block: BlockState | None = None

    def show_block(self, block: BlockState | None) -> None:
        self._block = block
        weights = () if block is None or block.weights is None else block.weights
        kept = () if block is None else block.kept
        lines = (
            f"position {j}: {with_minus(f'{weight:+.5f}')}{'' if kept[j] else ' (masked)'}"
            for j, weight in enumerate(weights)
        )
        self.setToolTip(plain("\n".join(lines)))
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        if self._block is None or self._block.weights is None:
            return
        painter = QPainter(self)
        weights, kept = self._block.weights, self._block.kept
        colours = plot_colours()
        line = painter.fontMetrics().height()
        top, bottom = line, self.height() - line
        middle = (top + bottom) / 2
        scale = (bottom - top) / 2 / (float(np.abs(weights).max()) or 1.0)
        column = self.width() / len(weights)
        painter.setPen(colours.grid)
        painter.drawLine(0, int(middle), self.width(), int(middle))
        for j, weight in enumerate(weights.tolist()):
            colour = colours.blue if weight >= 0 else colours.orange
            painter.setPen(colour)
            painter.setBrush(colour if kept[j] else Qt.BrushStyle.NoBrush)
            height = weight * scale
            width = min(28.0, column * 0.6)
            left = int((j + 0.5) * column - width / 2)
            painter.drawRect(left, int(middle - max(height, 0)), int(width), int(abs(height)))
            if column >= 44:
                painter.setPen(colours.text)
                y = self.height() - line if weight >= 0 else 0
                flags = Qt.AlignmentFlag.AlignCenter
                painter.drawText(
                    int(j * column), y, int(column), line, flags, with_minus(f"{weight:+.3f}")
                )


class BlockPanel(QWidget):
    """Everything about the current pin, now and since the start, and the list of all pins."""

    def __init__(self, state: ViewState) -> None:
        super().__init__()
        self.pins = PinList(state)
        tip = "Keep this pin when another block is clicked"
        self.keep = tool_button("Keep", tip, state.keep_pin, "pin")
        self.unpin = tool_button("Remove pin", "Remove this pin", state.remove_pin, "close")
        self.life = LifeView()
        self.interventions = InterventionButtons()
        self._snapshot: Snapshot | MaskSnapshot | None = None
        self._title = HtmlLabel(HINT, wordWrap=True)
        self._title.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._bars = WeightBars()
        self._summary = Label(wordWrap=True)
        self.combinations = CombinationsTable()
        self.combinations.chosen.connect(self._combination_chosen)
        self._lay_out()
        self.setMinimumWidth(PANEL_WIDTH)
        state.changed.connect(self._show_view)
        self.clear()

    @property
    def title(self) -> str:
        return self._title.text()

    def clear(self) -> None:
        self._snapshot = None
        self._title.setText(HINT)
        self._summary.clear()
        self.life.show_block(None)
        self.interventions.show_snapshot(None)
        self._show(None)

    def show_snapshot(self, snapshot: Snapshot | MaskSnapshot) -> None:
        block = snapshot.block
        if block is None:
            if self._snapshot is not None:
                self.clear()
            return
        self._snapshot = snapshot
        where = place(snapshot.shape, block.pattern, block.index)
        self._title.setText(
            html("<b>{}</b> · block {}<br>{}", snapshot.request.layer, block.index, where)
        )
        live = int((block.scores > -np.inf).sum())
        count = block.pattern.count
        filled = "" if block.weights is None else " (filled bars)"
        shown = f", the best {SHOWN_ROWS} listed" if count > SHOWN_ROWS else ""
        self._summary.setText(
            f"{block.pattern}: {live} of {count:,} combinations live{shown}. "
            f"{int(block.kept.sum())} of {block.pattern.m} weights kept{filled}."
        )
        self._show(block)
        self.life.show_block(Pin(snapshot.request.layer, block.index))
        self.life.plot.show_epoch(snapshot.epoch)
        self.interventions.show_snapshot(snapshot)

    @Slot(object, object)
    def _show_view(self, before: View, view: View) -> None:
        pins = view.pins
        self.life.plot.find_fork_point = view.fork_point
        if view.run != before.run:
            self.life.forget()
        if view.run != before.run or (pins.current is None and self._snapshot is not None):
            self.clear()
        self.keep.setEnabled(pins.current is not None and pins.current == pins.temporary)
        self.unpin.setEnabled(pins.current is not None)

    @Slot(object)
    def _combination_chosen(self, row: CombinationRow | None) -> None:
        self.interventions.choose(None if row is None else row.combination)

    def _lay_out(self) -> None:
        head, now = row((self._title, 1)), QWidget()
        for button in (self.keep, self.unpin, help_button("Block")):
            head.addWidget(button, 0, Qt.AlignmentFlag.AlignTop)
        parts = (self._bars, self._summary, (self.combinations, 1), self.interventions)
        column(*parts, on=now).setContentsMargins(0, TIGHT, 0, 0)
        self.tabs = QTabWidget(documentMode=True)
        self.tabs.addTab(now, "Now")
        self.tabs.addTab(self.life, "History")
        layout = column(self.pins, head, (self.tabs, 1), on=self, margin=MARGIN)
        layout.setAlignment(Qt.AlignmentFlag.AlignTop)

    def picture_to_save(self) -> Picture | None:
        data = self.data_to_save()
        if data is None or self._snapshot is None:
            return None
        title = f"Epoch {round(self._snapshot.epoch, 2):g}"
        table = self.combinations
        rows = table.verticalHeader().length() + table.horizontalHeader().height()
        used = table.y() + rows + 2 * table.frameWidth()
        return Picture(data.name, title, self, height=min(self.height(), used))

    def data_to_save(self) -> Data | None:
        snapshot = self._snapshot
        if snapshot is None or snapshot.block is None:
            return None
        return block_data(snapshot, snapshot.block)

    def _show(self, block: BlockState | None) -> None:
        for widget in (self.tabs, self.keep, self.unpin):
            widget.setVisible(block is not None)
        # A history keeps no weights: of past moments only those of the last checkpoint are known.
        self._bars.setVisible(block is not None and block.weights is not None)
        self._bars.show_block(block)
        self.combinations.show_block(block)
