"""The pinned block: its place, its weights, every combination with score and rank, its history."""

from __future__ import annotations

from typing import Any

import numpy as np
from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt, Slot
from PySide6.QtGui import QColor, QFont, QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QSizePolicy,
    QTableView,
    QTabWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from lbc.pictures.glyphs import glyphs, members_of
from lbc.pictures.mask_snapshot import MaskSnapshot
from lbc.pictures.score_codes import rank
from lbc.pictures.score_snapshot import BlockState, Snapshot
from lbc.sparsity.arrays import Floats
from lbc_gui.block.intervention_buttons import StepIn
from lbc_gui.block.life_view import LifeView
from lbc_gui.block.pins import PinList
from lbc_gui.captions import ordinal, place
from lbc_gui.export.score_data import block_data
from lbc_gui.export.view_export import Data
from lbc_gui.export.view_renderer import Picture
from lbc_gui.run.pinned_weights import Pin
from lbc_gui.theme import plot_colours

Index = QModelIndex | QPersistentModelIndex

ROWS_IN_ORDER = 20
"""Up to here combinations stand in lexicographic order, above it the best come first."""

SHOWN_ROWS = 128
"""The best combinations that are listed, where a block has more."""

PANEL_WIDTH = 294
"""Pixels below which the table's columns would be cut."""

HINT = "Click a block in the heatmap to pin it here."
_HEADERS = ("held", "score", "vs mean", "rank")


class WeightBars(QWidget):
    """The block's M weights as bars about zero; masked ones are hollow."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setMinimumHeight(84)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._block: BlockState | None = None

    def show_block(self, block: BlockState | None) -> None:
        self._block = block
        weights = None if block is None else block.weights
        self.setToolTip(
            ""
            if block is None or weights is None
            else "\n".join(
                f"position {j}: {weight:+.5f}{'' if kept else ' (masked)'}"
                for j, (weight, kept) in enumerate(zip(weights, block.kept, strict=True))
            )
        )
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
                painter.drawText(int(j * column), y, int(column), line, flags, f"{weight:+.3f}")


class CombinationsModel(QAbstractTableModel):
    """One row per combination: its glyphs, score, distance from the mean, rank."""

    def __init__(self, parent: QWidget, font: QFont) -> None:
        super().__init__(parent)
        self._font = font
        self._block: BlockState | None = None
        self._rows: list[int] = []
        self._ranks: dict[int, int] = {}

    def show_block(self, block: BlockState | None) -> None:
        """Few combinations in lexicographic order, of many the best first."""
        before = None if self._block is None else (self._block.index, self._block.pattern)
        self._block = block
        if block is None:
            self.beginResetModel()
            self._rows = []
            self.endResetModel()
            return
        ranks = rank(block.scores[None])[0]
        rows = list(range(len(ranks)))
        if len(ranks) > ROWS_IN_ORDER:
            rows = np.argsort(ranks)[:SHOWN_ROWS].tolist()
        if before == (block.index, block.pattern) and rows == self._rows:
            self._ranks = {c: int(ranks[c]) for c in rows}
            self.dataChanged.emit(
                self.index(0, 0), self.index(len(self._rows) - 1, len(_HEADERS) - 1)
            )
            return
        self.beginResetModel()
        self._rows = rows
        self._ranks = {c: int(ranks[c]) for c in rows}
        self.endResetModel()

    def combination(self, row: int) -> int | None:
        """Which combination stands in a row."""
        return self._rows[row] if 0 <= row < len(self._rows) else None

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(_HEADERS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = 0) -> Any:
        if role == Qt.ItemDataRole.DisplayRole and orientation == Qt.Orientation.Horizontal:
            return _HEADERS[section]
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if self._block is None:
            return None
        combination = self._rows[index.row()]
        live = bool(self._block.scores[combination] > -np.inf)
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(combination, index.column(), live)
        if role == Qt.ItemDataRole.TextAlignmentRole and index.column() > 0:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if role == Qt.ItemDataRole.ForegroundRole and not live:
            return QColor(128, 128, 128)
        if role == Qt.ItemDataRole.FontRole and live and self._ranks[combination] == 1:
            font = QFont(self._font)
            font.setBold(True)
            return font
        return None

    def _text(self, combination: int, column: int, live: bool) -> str:
        assert self._block is not None
        if column == 0:
            members = members_of(self._block.pattern, combination)
            return glyphs(members, self._block.pattern.m)
        if not live:
            return "removed" if column == 1 else "—"
        score = float(self._block.scores[combination])
        if column == 1:
            return f"{score:.5f}"
        if column == 2:
            return f"{score - _mean(self._block.scores):+.5f}"
        return ordinal(self._ranks[combination])


class BlockPanel(QWidget):
    """Everything about one block, now and since the start; the other pins are at hand."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.pins = PinList()
        self.pins.changed.connect(self._show_pins)
        self.keep, self.unpin = QToolButton(), QToolButton()
        for button, text, tip, slot in (
            (self.keep, "Keep", "Keep this pin when another block is clicked", self.pins.keep),
            (self.unpin, "✕", "Remove this pin", self.pins.remove),
        ):
            button.setText(text)
            button.setToolTip(tip)
            button.clicked.connect(slot)
        self.life = LifeView()
        self.step_in = StepIn()
        self._snapshot: Snapshot | MaskSnapshot | None = None
        self._title = QLabel(HINT)
        self._title.setWordWrap(True)
        self._title.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._bars = WeightBars()
        self._summary = QLabel()
        self._summary.setWordWrap(True)
        self._table = QTableView()
        self._table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self._table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self._table.setAccessibleName("Combinations")
        self._table.setShowGrid(False)
        small = self._table.font()
        small.setPointSizeF(small.pointSizeF() * 0.9)
        self._table.setFont(small)
        self._table.horizontalHeader().setFont(small)
        self._model = CombinationsModel(self, small)
        self._table.setModel(self._model)
        self._table.verticalHeader().hide()
        self._table.verticalHeader().setDefaultSectionSize(22)
        header = self._table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setMinimumSectionSize(30)
        header.setSectionResizeMode(len(_HEADERS) - 1, QHeaderView.ResizeMode.Stretch)
        self._table.selectionModel().currentRowChanged.connect(self._row_chosen)
        self._model.modelReset.connect(self._row_chosen)
        self._lay_out()
        self.setMinimumWidth(PANEL_WIDTH)
        self._show_pins()
        self.clear()

    @property
    def model(self) -> CombinationsModel:
        return self._model

    @property
    def title(self) -> str:
        return self._title.text()

    def begin(self) -> None:
        """Another run."""
        self.clear()
        self.life.forget()

    def clear(self) -> None:
        self._snapshot = None
        self._title.setText(HINT)
        self._summary.clear()
        self.life.show_block(None)
        self.step_in.show_snapshot(None)
        self._show(None)

    def show_snapshot(self, snapshot: Snapshot | MaskSnapshot) -> None:
        block = snapshot.block
        if block is None:
            if self._snapshot is not None:
                self.clear()
            return
        self._snapshot = snapshot
        where = place(snapshot.shape, block.pattern, block.index)
        self._title.setText(f"<b>{snapshot.request.layer}</b> · block {block.index}<br>{where}")
        live = int((block.scores > -np.inf).sum())
        count = block.pattern.count
        shown = f", the best {SHOWN_ROWS} listed" if count > SHOWN_ROWS else ""
        self._summary.setText(
            f"{block.pattern}: {live} of {count:,} combinations live{shown}. "
            f"{int(block.kept.sum())} of {block.pattern.m} weights kept (filled bars)."
        )
        self._show(block)
        self.life.show_block(Pin(snapshot.request.layer, block.index))
        self.life.plot.show_epoch(snapshot.epoch)
        self.step_in.show_snapshot(snapshot)

    @Slot()
    def _show_pins(self, *_: object) -> None:
        self.keep.setEnabled(self.pins.current is not None and not self.pins.kept)
        self.unpin.setEnabled(self.pins.current is not None)

    @Slot()
    def _row_chosen(self, *_: object) -> None:
        self.step_in.choose(self._model.combination(self._table.currentIndex().row()))

    def _lay_out(self) -> None:
        head = QHBoxLayout()
        head.addWidget(self._title, 1)
        for button in (self.keep, self.unpin):
            head.addWidget(button, 0, Qt.AlignmentFlag.AlignTop)
        now = QWidget()
        column = QVBoxLayout(now)
        column.setContentsMargins(0, 4, 0, 0)
        column.addWidget(self._bars)
        column.addWidget(self._summary)
        column.addWidget(self._table, 1)
        column.addWidget(self.step_in)
        self.tabs = QTabWidget()
        self.tabs.setDocumentMode(True)
        self.tabs.addTab(now, "Now")
        self.tabs.addTab(self.life, "History")
        layout = QVBoxLayout(self)
        layout.setAlignment(Qt.AlignmentFlag.AlignTop)
        layout.addWidget(self.pins)
        layout.addLayout(head)
        layout.addWidget(self.tabs, 1)

    def picture_to_save(self) -> Picture | None:
        data = self.data_to_save()
        if data is None or self._snapshot is None:
            return None
        title = f"Epoch {round(self._snapshot.epoch, 2):g}"
        rows = self._table.verticalHeader().length() + self._table.horizontalHeader().height()
        used = self._table.y() + rows + 2 * self._table.frameWidth()
        return Picture(data.name, title, self, height=min(self.height(), used))

    def data_to_save(self) -> Data | None:
        snapshot = self._snapshot
        if snapshot is None or snapshot.block is None:
            return None
        return block_data(snapshot, snapshot.block)

    def _show(self, block: BlockState | None) -> None:
        for widget in (self.tabs, self.keep, self.unpin):
            widget.setVisible(block is not None)
        # Of past moments there are only those of the last checkpoint.
        self._bars.setVisible(block is not None and block.weights is not None)
        self._bars.show_block(block)
        self._model.show_block(block)


def _mean(scores: Floats) -> float:
    return float(scores[scores > -np.inf].mean(dtype=np.float64))
