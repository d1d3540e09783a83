"""The table of a checkpoint's layers: what each obeys, and how it differs from another's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from PySide6.QtCore import (
    QAbstractTableModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QSortFilterProxyModel,
    Qt,
    Signal,
    Slot,
)
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from lbc.inspection.comparison import LayerComparison
from lbc.inspection.survey import Finding
from lbc.sparsity.pattern import Pattern
from lbc_gui.theme import plot_colours

Index = QModelIndex | QPersistentModelIndex

HEADERS = ("layer", "shape", "N:M", "kept", "broken", "largest |Δ|", "flipped")
TIPS = (
    "Name in the file",
    "Output channels × input channels × kernel",
    "The N:M that its zeros were evidently made for",
    "Share of the weights that are not zero",
    "Blocks that keep more than N, of the N:M it is held against",
    "Greatest difference of a weight from the other checkpoint's",
    "Positions that are zero in one of the two checkpoints alone",
)
WIDTHS = (124, 86, 84, 44, 56, 76, 60)
ALONE, COMPARED = (1, 3), (5, 6)
"""The columns that give way to, and that need, another checkpoint."""

APART = {
    "other shape": "other shape",
    "only in the first": "first only",
    "only in the second": "second only",
}
"""What stands for a difference that is no number."""

UNREAD = "…"


@dataclass(frozen=True)
class Row:
    """A layer; ``finding`` is None until it has been read."""

    name: str
    shape: tuple[int, ...]
    finding: Finding | None = None
    comparison: LayerComparison | None = None


class LayersModel(QAbstractTableModel):
    """One row a layer, in the order of the file."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.rows: list[Row] = []
        self._at: dict[str, int] = {}
        self._pattern: Pattern | None = None

    def show_layers(self, layers: Sequence[tuple[str, tuple[int, ...]]]) -> None:
        """Another checkpoint: nothing of it is known yet but names and shapes."""
        self.beginResetModel()
        self.rows = [Row(name, shape) for name, shape in layers]
        self._at = {row.name: at for at, row in enumerate(self.rows)}
        self.endResetModel()

    def fill(self, finding: Finding, comparison: LayerComparison | None) -> None:
        """What one layer turned out to be."""
        at = self._at.get(finding.name)
        if at is not None:
            self.rows[at] = replace(self.rows[at], finding=finding, comparison=comparison)
            self.dataChanged.emit(self.index(at, 0), self.index(at, len(HEADERS) - 1))

    def hold_against(self, pattern: Pattern | None) -> None:
        """Count the blocks that break this one; None for each layer's own."""
        self._pattern = pattern
        if self.rows:
            last = self.index(len(self.rows) - 1, len(HEADERS) - 1)
            self.dataChanged.emit(self.index(0, 0), last)

    def counted(self, m: int) -> bool:
        """Whether blocks of ``m`` have been counted wherever they fit."""
        return all(
            row.finding is None or row.shape[1] % m or m in row.finding.detection.blocks
            for row in self.rows
        )

    def broken(self, row: Row) -> int | None:
        """How many blocks of a layer break what it is held against; None where that is nothing."""
        if row.finding is None:
            return None
        pattern = self._pattern or row.finding.pattern
        return row.finding.detection.count_violations(pattern) if pattern else None

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(HEADERS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = 0) -> Any:
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return HEADERS[section]
        return TIPS[section] if role == Qt.ItemDataRole.ToolTipRole else None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        row, header = self.rows[index.row()], HEADERS[index.column()]
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return self._text(row, header)
            case Qt.ItemDataRole.ToolTipRole:
                return self._tip(row)
            case Qt.ItemDataRole.UserRole:
                return self._sort_key(row, header)
            case Qt.ItemDataRole.TextAlignmentRole if index.column() > 2:
                return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
            case Qt.ItemDataRole.ForegroundRole if header == "broken" and self.broken(row):
                return plot_colours().red
        return None

    def _text(self, row: Row, header: str) -> str:
        if header == "layer":
            return row.name
        if header == "shape":
            return "×".join(map(str, row.shape))
        if row.finding is None:
            return UNREAD
        found, compared = row.finding.detection, row.comparison
        match header:
            case "N:M":
                nearly = found.pattern is not None and found.count_violations(found.pattern)
                return f"nearly {found.pattern}" if nearly else found.headline
            case "kept":
                return f"{found.density:.0%}"
            case "broken":
                broken = self.broken(row)
                return "" if broken is None else f"{broken:,}"
        if compared is None or compared.largest is None or compared.flipped is None:
            return APART[compared.difference] if compared and header == "largest |Δ|" else ""
        if header == "flipped":
            return f"{compared.flipped:,}"
        return f"{compared.largest:.3g}"

    def _tip(self, row: Row) -> str:
        if row.finding is None:
            return f"{row.name}: not read yet"
        found = row.finding.detection
        obeyed = ", ".join(map(str, found.independent)) or "none"
        stated = f". The file says {row.finding.stated}" if row.finding.stated else ""
        return f"{row.name}: {found.headline}. N:M that hold in every block: {obeyed}{stated}"

    def _sort_key(self, row: Row, header: str) -> Any:
        found = row.finding.detection if row.finding else None
        compared = row.comparison
        match header:
            case "shape":
                return found.weights if found else 0
            case "kept":
                return found.density if found else -1.0
            case "broken":
                broken = self.broken(row)
                return -1 if broken is None else broken
            case "largest |Δ|":
                known = compared is not None and compared.largest is not None
                return compared.largest if compared is not None and known else -1.0
            case "flipped":
                known = compared is not None and compared.flipped is not None
                return compared.flipped if compared is not None and known else -1
        return self._text(row, header)


class LayersTable(QTableView):
    """The rows, to be sorted, searched and chosen from."""

    chosen = Signal(str)
    """Name of a layer."""

    def __init__(self, model: LayersModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._layers = model
        self._choosing = False
        self._order = QSortFilterProxyModel(self)
        self._order.setSourceModel(model)
        self._order.setSortRole(Qt.ItemDataRole.UserRole)
        self._order.setFilterCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self.setModel(self._order)
        self.setAccessibleName("Layers of the checkpoint")
        self.setWordWrap(False)
        self.setShowGrid(False)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setSortingEnabled(True)
        self.sortByColumn(-1, Qt.SortOrder.AscendingOrder)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(21)
        small = self.font()
        small.setPointSizeF(small.pointSizeF() * 0.9)
        self.setFont(small)
        self.horizontalHeader().setFont(small)
        self.horizontalHeader().setMinimumSectionSize(36)
        for column, width in enumerate(WIDTHS):
            self.horizontalHeader().resizeSection(column, width)
        self.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.show_comparison(False)
        self.selectionModel().currentRowChanged.connect(self._current_changed)

    def show_comparison(self, shown: bool) -> None:
        """Whether there is another checkpoint to say something of."""
        for column in COMPARED:
            self.setColumnHidden(column, not shown)
        for column in ALONE:
            self.setColumnHidden(column, shown)

    def choose(self, name: str) -> None:
        """Make a layer the current one, without a signal."""
        at = next((i for i, row in enumerate(self._layers.rows) if row.name == name), None)
        if at is None:
            return
        index = self._order.mapFromSource(self._layers.index(at, 0))
        self._choosing = True
        self.setCurrentIndex(index)
        self._choosing = False

    @Slot(str)
    def search(self, text: str) -> None:
        """Show only layers whose name holds ``text``."""
        self._order.setFilterFixedString(text)

    @Slot(QModelIndex, QModelIndex)
    def _current_changed(self, current: QModelIndex, _previous: QModelIndex) -> None:
        if current.isValid() and not self._choosing:
            self.chosen.emit(self._layers.rows[self._order.mapToSource(current).row()].name)
