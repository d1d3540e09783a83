"""The biography of the pinned block: scores over time, every removal, the winner; to be saved."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt, Slot
from PySide6.QtGui import QAction, QFont, QFontMetrics
from PySide6.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QSplitter,
    QTableView,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from lbc.pictures.glyphs import glyphs, members_of
from lbc.runs.block_history import Biography, Life, Removal
from lbc.sparsity.arrays import Floats
from lbc_gui.block.life_plot import LifePlot, Quantity, line_colours
from lbc_gui.run.pinned_weights import Pin, PinnedWeights

Index = QModelIndex | QPersistentModelIndex

QUANTITIES = {
    "behind": "Score behind the best",
    "score": "Score",
    "beta": "β of each position",
    "weight": "Weights since pinned",
}

MOST_WEIGHTS = 4000
"""Moments of a block's weights that are kept; of more, every second one."""

_HEADERS = ("held", "epoch", "rank", "margin")
_TIPS = (
    "The positions the combination holds",
    "When it was removed, and whether by hand; or what became of it",
    "Its rank among those that lived until then",
    "Its score less that of the worst that was kept",
)


class EndsModel(QAbstractTableModel):
    """One row for each combination: the winner, what lives, then the removed, the last first."""

    def __init__(self, parent: QWidget, font: QFont) -> None:
        super().__init__(parent)
        self._font = font
        self._life: Biography | None = None
        self._rows: list[int] = []
        self._removals: dict[int, Removal] = {}

    def show_life(self, life: Biography | None) -> None:
        self.beginResetModel()
        self._life = life
        self._removals = {} if life is None else {one.combination: one for one in life.removals}
        self._rows = []
        if life is not None and life.live is not None:
            winner = int(life.winners[-1])
            alive = [c for c in life.live[-1].nonzero()[0].tolist() if c != winner]
            gone = sorted(self._removals.values(), key=lambda one: (-one.moment, one.rank or 0))
            self._rows = [winner, *alive, *(one.combination for one in gone)]
        self.endResetModel()

    def combination(self, row: int) -> int | None:
        return self._rows[row] if 0 <= row < len(self._rows) else None

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(_HEADERS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = 0) -> Any:
        if orientation == Qt.Orientation.Horizontal:
            if role == Qt.ItemDataRole.DisplayRole:
                return _HEADERS[section]
            if role == Qt.ItemDataRole.ToolTipRole:
                return _TIPS[section]
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if self._life is None:
            return None
        combination, column = self._rows[index.row()], index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(self._life, combination, column)
        if role == Qt.ItemDataRole.TextAlignmentRole and column > 1:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if role == Qt.ItemDataRole.ForegroundRole and column == 0:
            winner = int(self._life.winners[-1])
            return line_colours(self._life.pattern.count, winner)[combination]
        if role == Qt.ItemDataRole.FontRole and index.row() == 0:
            font = QFont(self._font)
            font.setBold(True)
            return font
        return None

    def _text(self, life: Biography, combination: int, column: int) -> str:
        one = self._removals.get(combination)
        if column == 0:
            return glyphs(members_of(life.pattern, combination), life.pattern.m)
        if one is None:
            decided = life.live is not None and int(life.live[-1].sum()) == 1
            first = combination == int(life.winners[-1])
            return ("won" if decided else "leads" if first else "lives") if column == 1 else ""
        if column == 1:
            return f"{'' if one.cause == 'score' else one.cause} {one.epoch:.2f}".lstrip()
        if column == 2:
            return f"{one.rank} of {one.of}" if one.rank else f"– of {one.of}"
        return "–" if one.margin is None else f"{one.margin:+.2g}"


class LifeView(QWidget):
    """Follows one block; what arrives of another is not shown."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._life: Life | None = None
        self._arrived: Life | None = None
        self._pin: Pin | None = None
        self._seen: dict[Pin, tuple[list[float], list[Floats]]] = {}
        self._quantity: Quantity = "behind"
        self.plot = LifePlot()
        self.quantity = QComboBox()
        self.quantity.addItems(list(QUANTITIES.values()))
        self.quantity.setToolTip("What is plotted over the epochs")
        self.quantity.currentIndexChanged.connect(self._quantity_chosen)
        self.save = QToolButton()
        self.save.setText("Save")
        self.save.setToolTip("Save biographies as CSV or npz")
        self.save.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.save_this = QAction("&This block…", self)
        self.save_all = QAction("&All pinned blocks…", self)
        self.save.addActions([self.save_this, self.save_all])
        self.summary = QLabel()
        self.summary.setWordWrap(True)
        self._table = QTableView()
        small = self._table.font()
        small.setPointSizeF(small.pointSizeF() * 0.9)
        self.ends = EndsModel(self, small)
        self._prepare_table(small)
        self._lay_out()
        self._show_pin(None)

    def forget(self) -> None:
        """Another run: what was seen of the one before is void."""
        self._seen, self._arrived = {}, None
        self._show_pin(None)

    def show_block(self, pin: Pin | None) -> None:
        """The block that is looked at now."""
        if pin != self._pin:
            self._show_pin(pin)

    def show_life(self, life: Life) -> None:
        """A biography has come, or has grown; it may come before the picture with its block."""
        self._arrived = life
        if Pin(life.layer, life.block) != self._pin:
            return
        self._life = life
        self.ends.show_life(life.biography)
        self._table.setVisible(life.biography.live is not None)
        self.plot.show_life(life.biography)
        self.summary.setText(_summary(life.biography))
        self.save.setEnabled(True)

    @Slot(object)
    def add_weights(self, seen: PinnedWeights) -> None:
        """Weights of the pinned blocks have come; they are kept for each of them."""
        for pin, weights in seen.weights.items():
            epochs, kept = self._seen.setdefault(pin, ([], []))
            if epochs and epochs[-1] >= seen.epoch:
                continue
            epochs.append(seen.epoch)
            kept.append(weights)
            if len(epochs) > MOST_WEIGHTS:
                del epochs[::2], kept[::2]
        if self._quantity == "weight":
            self._show_weights()

    def seen(self, pin: Pin) -> tuple[Floats, Floats]:
        """Epochs (T,) at which a block's weights were seen since it was pinned, and (T, M)."""
        epochs, weights = self._seen.get(pin, ([], []))
        return np.array(epochs), np.array(weights)

    @property
    def life(self) -> Life | None:
        """The biography on screen, as far as the run has come."""
        return self._life

    @Slot(int)
    def _quantity_chosen(self, row: int) -> None:
        self._quantity = get_args(Quantity)[row]
        self._show_weights()
        self.plot.show_quantity(self._quantity)

    def _show_pin(self, pin: Pin | None) -> None:
        self._pin, self._life = pin, None
        self.ends.show_life(None)
        self.plot.show_life(None)
        self._show_weights()
        self.summary.setText("" if pin is None else "The history of this block comes …")
        self.save.setEnabled(False)
        if self._arrived is not None:
            self.show_life(self._arrived)

    def _show_weights(self) -> None:
        none = np.empty(0), np.empty((0, 0))
        self.plot.show_weights(*(none if self._pin is None else self.seen(self._pin)))

    @Slot()
    def _row_chosen(self, *_: object) -> None:
        self.plot.mark(self.ends.combination(self._table.currentIndex().row()))

    def _prepare_table(self, small: QFont) -> None:
        table, header = self._table, self._table.horizontalHeader()
        table.setFont(small)
        header.setFont(small)
        table.setModel(self.ends)
        table.setAccessibleName("What became of every combination")
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        table.setShowGrid(False)
        table.verticalHeader().hide()
        table.verticalHeader().setDefaultSectionSize(QFontMetrics(small).height() + 5)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setMinimumSectionSize(30)
        header.setSectionResizeMode(len(_HEADERS) - 1, QHeaderView.ResizeMode.Stretch)
        table.selectionModel().currentRowChanged.connect(self._row_chosen)

    def _lay_out(self) -> None:
        bar = QHBoxLayout()
        bar.addWidget(self.quantity, 1)
        bar.addWidget(self.save)
        splitter = QSplitter(Qt.Orientation.Vertical)
        splitter.addWidget(self.plot)
        splitter.addWidget(self._table)
        splitter.setSizes([190, 150])
        splitter.setChildrenCollapsible(False)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 4, 0, 0)
        layout.addLayout(bar)
        layout.addWidget(self.summary)
        layout.addWidget(splitter, 1)


def _summary(life: Biography) -> str:
    winner = int(life.winners[-1])
    changed = (life.winners != winner).nonzero()[0]
    since = float(life.epochs[changed[-1] + 1 if len(changed) else 0])
    held = glyphs(members_of(life.pattern, winner), life.pattern.m)
    if life.live is not None and int(life.live[-1].sum()) == 1:
        last = life.removals[-1] if life.removals else None
        if last is not None and last.cause == "pin":
            return f"<b>{held}</b> was pinned at epoch {last.epoch:.2f}."
        won = last.epoch if last else 0.0
        return f"<b>{held}</b> won at epoch {won:.2f}, and led since {since:.2f}."
    return f"<b>{held}</b> leads since epoch {since:.2f}."
