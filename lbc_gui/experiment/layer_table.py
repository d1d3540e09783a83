"""Which layers become sparse, under which N:M, why the others do not, and what each costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtGui import QPalette
from PySide6.QtWidgets import QHeaderView, QTableWidget, QTableWidgetItem, QWidget

if TYPE_CHECKING:
    from lbc.models.layer_cost import LayerRow

_HEADERS = {
    "layer": "Every Linear and Conv layer, in the model's order",
    "N:M": "Double-click to give one layer its own pattern, or 'dense'",
    "params": "Weights and biases",
    "FLOPs": "Share of the forward pass's multiply-adds, of all layers and attention",
}
_EDITABLE = 1
_NUMBERS = (2, 3)


class LayerTable(QTableWidget):
    """Every Linear and Conv layer; its N:M can be typed over."""

    overridden = Signal(str, str)
    """Layer name and what was typed: an N:M, "dense", or nothing."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, len(_HEADERS), parent)
        for column, (text, tip) in enumerate(_HEADERS.items()):
            item = QTableWidgetItem(text)
            item.setToolTip(tip)
            self.setHorizontalHeaderItem(column, item)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(22)
        self.setShowGrid(False)
        header = self.horizontalHeader()
        header.setMinimumSectionSize(36)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.itemChanged.connect(self._typed)

    def show_rows(self, rows: Sequence[LayerRow]) -> None:
        """One row per layer, sparse or not."""
        self.blockSignals(True)
        self.setRowCount(len(rows))
        for index, row in enumerate(rows):
            self._show_row(index, row)
        self.blockSignals(False)

    def clear_rows(self) -> None:
        """Nothing is known of the layers."""
        self.setRowCount(0)

    def _show_row(self, index: int, row: LayerRow) -> None:
        plan = row.plan
        chosen = str(plan.pattern or "dense")
        texts = (plan.name or "model", chosen, _short(row.parameters), f"{row.share:.1%}")
        faint = self.palette().color(QPalette.ColorRole.PlaceholderText)
        for column, text in enumerate(texts):
            item = QTableWidgetItem(text)
            item.setToolTip(_describe(row))
            item.setData(Qt.ItemDataRole.UserRole, plan.name)
            flags = Qt.ItemFlag.ItemIsEnabled
            if column == _EDITABLE:
                flags |= Qt.ItemFlag.ItemIsEditable | Qt.ItemFlag.ItemIsSelectable
            if column in _NUMBERS:
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            if plan.pattern is None:
                item.setForeground(faint)
            item.setFlags(flags)
            self.setItem(index, column, item)

    @Slot(QTableWidgetItem)
    def _typed(self, item: QTableWidgetItem) -> None:
        if item.column() == _EDITABLE:
            self.overridden.emit(item.data(Qt.ItemDataRole.UserRole), item.text().strip())


def _describe(row: LayerRow) -> str:
    plan, cost = row.plan, row.cost
    says = str(plan.pattern) if plan.pattern else f"dense: {plan.reason}"
    lines = [
        f"{plan.name or 'model'}: {plan.kind} {'×'.join(map(str, plan.shape))}",
        says + (" (its own)" if plan.overridden else ""),
        f"{row.parameters:,} parameters",
        f"{cost.macs:,} multiply-adds an image, {row.share:.2%} of all",
        f"at {cost.positions:,} positions in {cost.calls} call{'s' if cost.calls != 1 else ''}",
    ]
    if plan.pattern:
        lines.insert(2, f"{plan.blocks:,} blocks of {row.combinations:,} combinations")
    return "\n".join(lines)


def _short(count: int) -> str:
    """A count in at most five characters: 864, 36.9k, 2.36M."""
    for size, unit in ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")):
        if count >= 0.9995 * size:  # what rounds to it is written so
            return f"{count / size:.3g}{unit}"
    return str(count)
