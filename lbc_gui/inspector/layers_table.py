"""The table of a checkpoint's layers: what each obeys, and how it differs from another's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from PySide6.QtCore import QObject, QSortFilterProxyModel, Qt, Slot
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QWidget

from lbc.inspection.comparison import LayerComparison
from lbc.inspection.detection import Detection
from lbc.inspection.layouts import natural_key
from lbc.inspection.stored_tensor import StoredTensor
from lbc.inspection.survey import Finding
from lbc.sparsity.pattern import Pattern
from lbc_gui.inspector.names import NameDelegate
from lbc_gui.inspector.reader_thread import OTHER, ListedTensor, TensorRead
from lbc_gui.theme import colours
from lbc_gui.widgets.table import Column, TableModel, TableView

WIDTHS = (124, 84, 42, 58, 84, 42, 56, 76, 60, 56)
ALONE, COMPARED, PRUNED = (1, 2, 3, 5), (7, 8), 9
"""The columns that are hidden while checkpoints are compared, those shown only then, and the one of
a file that was pruned at once."""

DIFFERENCES = {
    "other shape": "other shape",
    "only in the first": "first only",
    "only in the second": "second only",
    "not compared": "not compared",
}
"""What is written for a difference that is not a number."""

UNREAD = "…"

NO_ERRORS: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True)
class LayerRow:
    """A tensor; ``finding`` is None until it has been read, and if it is no layer.

    Its blocks are checked against ``pattern``, or against the layer's own N:M where that is None.
    ``unjudged`` says why it has no finding. ``error`` is that of its outputs, if it was pruned at
    once.
    """

    name: str
    stored: StoredTensor
    unjudged: str = ""
    finding: Finding | None = None
    comparison: LayerComparison | None = None
    pattern: Pattern | None = None
    read: bool = False
    error: float | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.stored.shape

    @property
    def may_be_weight(self) -> bool:
        return self.unjudged != OTHER

    @property
    def waiting(self) -> bool:
        """Whether it is still to be read."""
        return not self.read

    @property
    def found(self) -> Detection | None:
        return None if self.finding is None else self.finding.detection

    @property
    def density(self) -> float | None:
        return None if self.found is None else self.found.density

    @property
    def broken(self) -> int | None:
        """How many blocks break the N:M; None if there is no N:M or nothing has been read."""
        if self.finding is None:
            return None
        pattern = self.pattern or self.finding.pattern
        return self.finding.detection.count_violations(pattern) if pattern else None

    @property
    def largest(self) -> float | None:
        """The largest difference from the other checkpoint; None if they cannot be compared."""
        return self.comparison.largest if self.comparison else None

    @property
    def flipped(self) -> int | None:
        return self.comparison.flipped if self.comparison else None


def _pattern_text(row: LayerRow) -> str:
    if row.unjudged:
        return "not judged" if row.may_be_weight else ""
    if row.found is None:
        return UNREAD
    nearly = row.found.pattern is not None and row.found.count_violations(row.found.pattern)
    return f"nearly {row.found.pattern}" if nearly else row.found.headline


def _number(row: LayerRow, number: float | None, form: str = ",") -> str:
    if row.waiting and not row.unjudged:
        return UNREAD
    return "" if number is None else format(number, form)


def _size_text(row: LayerRow) -> str:
    size = float(row.stored.bytes)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"


def _sort_key(number: float | None) -> float:
    return -1 if number is None else number


def _largest_text(row: LayerRow) -> str:
    if row.comparison is not None and row.largest is None:
        return DIFFERENCES[row.comparison.difference]
    return _number(row, row.largest, ".3g")


def _broken_colour(row: LayerRow) -> QColor | None:
    return QColor(colours().error) if row.broken else None


def _tip(row: LayerRow) -> str:
    if row.unjudged:
        return f"{row.name} is not judged: {row.unjudged}"
    if row.finding is None:
        return f"{row.name}: not read yet"
    found = row.finding.detection
    obeyed = ", ".join(map(str, found.independent)) or "none"
    stated = f". The file says {row.finding.stated}" if row.finding.stated else ""
    odd = f". {found.counts.nonfinite:,} weights are NaN or infinite"
    odd = odd if found.counts.nonfinite else ""
    return f"{row.name}: {found.headline}. N:M that hold in every block: {obeyed}{stated}{odd}"


COLUMNS: tuple[Column[LayerRow], ...] = (
    Column(
        "layer", lambda row: row.name, "Name in the file",
        sort_key=lambda row: natural_key(row.name),
    ),
    Column(
        "shape", lambda row: "×".join(map(str, row.shape)),
        "Output channels × input channels × kernel",
        sort_key=lambda row: row.stored.weights,
    ),
    Column(
        "type", lambda row: row.stored.dtype.replace("float", "f").replace("int", "i"),
        "Type of the stored numbers",
    ),
    Column(
        "size", _size_text, "Bytes in the file", number=True,
        sort_key=lambda row: row.stored.bytes,
    ),
    Column("N:M", _pattern_text, "The N:M that its zeros were evidently made for"),
    Column(
        "kept", lambda row: _number(row, row.density, ".0%"),
        "Share of the weights that are not zero", number=True,
        sort_key=lambda row: _sort_key(row.density),
    ),
    Column(
        "broken", lambda row: _number(row, row.broken),
        "Blocks that keep more than N weights of the N:M checked against",
        number=True, colour=_broken_colour, sort_key=lambda row: _sort_key(row.broken),
    ),
    Column(
        "largest |Δ|", _largest_text,
        "Largest difference between a weight here and in the other checkpoint", number=True,
        sort_key=lambda row: _sort_key(row.largest),
    ),
    Column(
        "flipped", lambda row: _number(row, row.flipped),
        "Positions that are zero in only one of the two checkpoints",
        number=True, sort_key=lambda row: _sort_key(row.flipped),
    ),
    Column(
        "error", lambda row: "" if row.error is None else f"{100 * row.error:.3g}%",
        "How much pruning changed the layer's outputs: ‖(W − W̃) X‖² / ‖W X‖² for its inputs X",
        number=True, sort_key=lambda row: _sort_key(row.error),
    ),
)  # fmt: skip


class LayersModel(TableModel[LayerRow]):
    """One row a layer, in the order of the file."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(COLUMNS, tip=_tip, key=lambda row: row.name, parent=parent)

    def show_tensors(
        self, tensors: Sequence[ListedTensor], errors: Mapping[str, float] = NO_ERRORS
    ) -> None:
        """Another checkpoint, of which only headers are known yet; ``errors`` by layer."""
        self.show_rows([
            LayerRow(at.name, at.stored, at.unjudged, error=errors.get(at.name)) for at in tensors
        ])  # fmt: skip

    def fill(self, read: TensorRead) -> LayerRow:
        """Show what was found in one tensor, and return its row."""
        at = self.row_of(read.name)
        assert at is not None
        row = replace(
            self.rows[at], finding=read.finding, comparison=read.comparison, read=True,
            unjudged=read.problem or self.rows[at].unjudged,
        )  # fmt: skip
        self.replace_row(at, row)
        return row

    def check_against(self, pattern: Pattern | None) -> None:
        """Count the blocks that break this N:M; with None, each layer's own."""
        self.show_rows([replace(row, pattern=pattern) for row in self.rows])

    def counted(self, pattern: Pattern) -> bool:
        """Whether the blocks of ``pattern`` have been counted in every layer that they fit."""
        return all(
            row.found is None or row.shape[1] % pattern.m or row.found.counts.of(pattern)
            for row in self.rows
        )


class LayersTable(TableView[LayerRow]):
    """The rows, to be sorted, searched and chosen from."""

    def __init__(self, model: LayersModel, parent: QWidget | None = None) -> None:
        order = QSortFilterProxyModel(model)
        order.setFilterCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        super().__init__(model, "Layers of the checkpoint", 0, WIDTHS, order=order, parent=parent)
        self._filter = order
        self.setWordWrap(False)
        self.setItemDelegateForColumn(0, NameDelegate(self))
        self.setSortingEnabled(True)
        self.sortByColumn(-1, Qt.SortOrder.AscendingOrder)
        self.show_comparison(False)

    def show_comparison(self, shown: bool, pruned: bool = False) -> None:
        """Show the columns about the other checkpoint, or those that make room for them, and with
        ``pruned`` that of the errors."""
        self.setColumnHidden(PRUNED, shown or not pruned)
        for column in COMPARED:
            self.setColumnHidden(column, not shown)
        for column in ALONE:
            self.setColumnHidden(column, shown)

    def choose(self, name: str) -> None:
        """Make a layer the current one, without a signal."""
        at = self.table.row_of(name)
        if at is not None:
            self.blockSignals(True)
            self.setCurrentIndex(self._filter.mapFromSource(self.table.index(at, 0)))
            self.blockSignals(False)

    @Slot(str)
    def search(self, text: str) -> None:
        """Show only layers whose name contains ``text``."""
        self._filter.setFilterFixedString(text)
