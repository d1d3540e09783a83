"""The list of a layer's violations: where each block is, and what it keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QWidget

from lbc.inspection.rows import Kept
from lbc.inspection.violations import Violations
from lbc.sparsity.blocks import block_coordinates
from lbc_gui.widgets.table import Column, TableModel, TableView

MOST_SQUARES = 32
"""Wider blocks are not written as squares."""

WIDTHS = (76, 58, 76, 58, 54)


@dataclass(frozen=True)
class ViolationRow:
    """One block, the coordinates of its M weights, and ``members`` (M,), 1 where one is kept."""

    block: int
    places: Sequence[tuple[int, ...]]
    members: Kept

    @property
    def kept(self) -> list[tuple[int, ...]]:
        return [place for place, kept in zip(self.places, self.members, strict=True) if kept]

    @property
    def squares(self) -> str:
        if len(self.members) > MOST_SQUARES:
            return ""
        return "".join("■" if kept else "□" for kept in self.members)


class ViolationRows(Sequence[ViolationRow]):
    """The rows, ascending. Each is made when it is shown."""

    def __init__(self, violations: Violations) -> None:
        self._violations = violations

    def __len__(self) -> int:
        return len(self._violations)

    def __getitem__(self, at: Any) -> Any:
        found = self._violations
        block = int(found.blocks[at])
        places = block_coordinates(found.shape, found.pattern, block)
        return ViolationRow(block, places, found.members[at])


COLUMNS: tuple[Column[ViolationRow], ...] = (
    Column("block", lambda row: f"{row.block:,}"),
    Column("output", lambda row: str(row.places[0][0])),
    Column("inputs", lambda row: f"{row.places[0][1]}–{row.places[-1][1]}"),
    Column("kernel", lambda row: ", ".join(map(str, row.places[0][2:]))),
    Column("keeps", lambda row: f"{len(row.kept)} of {len(row.members)}"),
    Column("weights", lambda row: row.squares),
)


class ViolationsTable(TableView[ViolationRow]):
    """The rows; choosing one asks for its block."""

    def __init__(self, parent: QWidget | None = None) -> None:
        model = TableModel(COLUMNS, tip=lambda row: " ".join(map(str, row.kept)))
        super().__init__(model, "Violations", -1, WIDTHS, parent=parent)
        self.horizontalHeader().setDefaultAlignment(Qt.AlignmentFlag.AlignLeft)

    def show_violations(self, violations: Violations | None) -> None:
        """List the blocks that break a layer's N:M."""
        self.table.show_rows([] if violations is None else ViolationRows(violations))
