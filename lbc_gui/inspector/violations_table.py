"""The list of a layer's violations: where each block is, and what it keeps."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import (
    QAbstractTableModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    Qt,
    Signal,
    Slot,
)
from PySide6.QtWidgets import QAbstractItemView, QTableView, QWidget

from lbc.inspection.violations import Violations
from lbc.sparsity.blocks import block_coordinates

Index = QModelIndex | QPersistentModelIndex

MOST_ROWS = 10_000
"""The first so many are listed; all of them are counted and drawn."""

MOST_SQUARES = 32
"""Wider blocks are not written as squares."""

HEADERS = ("block", "output", "inputs", "kernel", "keeps", "weights")
WIDTHS = (76, 58, 76, 58, 54)


class ViolationsModel(QAbstractTableModel):
    """One row a block, ascending."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.violations: Violations | None = None

    def show_violations(self, violations: Violations | None) -> None:
        self.beginResetModel()
        self.violations = violations
        self.endResetModel()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        if parent.isValid() or self.violations is None:
            return 0
        return min(len(self.violations), MOST_ROWS)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(HEADERS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = 0) -> Any:
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return HEADERS[section]
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if self.violations is None:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(self.violations, index.row(), HEADERS[index.column()])
        if role == Qt.ItemDataRole.ToolTipRole:
            return " ".join(map(str, self.violations[index.row()].coordinates))
        return None

    def _text(self, violations: Violations, at: int, header: str) -> str:
        block, members = int(violations.blocks[at]), violations.members[at]
        places = block_coordinates(violations.shape, violations.pattern, block)
        match header:
            case "block":
                return f"{block:,}"
            case "output":
                return str(places[0][0])
            case "inputs":
                return f"{places[0][1]}–{places[-1][1]}"
            case "kernel":
                return ", ".join(map(str, places[0][2:]))
            case "keeps":
                return f"{int(members.sum())} of {violations.pattern.m}"
        if len(members) <= MOST_SQUARES:
            return "".join("■" if kept else "□" for kept in members)
        return ""


class ViolationsTable(QTableView):
    """The rows; choosing one asks for its block."""

    chosen = Signal(int)
    """Place in the list of violations."""

    def __init__(self, model: ViolationsModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setModel(model)
        self.setAccessibleName("Violations")
        self.setShowGrid(False)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(21)
        small = self.font()
        small.setPointSizeF(small.pointSizeF() * 0.9)
        self.setFont(small)
        self.horizontalHeader().setFont(small)
        self.horizontalHeader().setDefaultAlignment(Qt.AlignmentFlag.AlignLeft)
        self.horizontalHeader().setStretchLastSection(True)
        for column, width in enumerate(WIDTHS):
            self.horizontalHeader().resizeSection(column, width)
        self.selectionModel().currentRowChanged.connect(self._current_changed)

    @Slot(QModelIndex, QModelIndex)
    def _current_changed(self, current: QModelIndex, _previous: QModelIndex) -> None:
        if current.isValid():
            self.chosen.emit(current.row())
