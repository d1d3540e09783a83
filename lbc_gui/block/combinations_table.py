"""The combinations of the pinned block: one row each, with score and rank."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lbc.pictures.glyphs import squares
from lbc.pictures.score_codes import rank
from lbc.pictures.score_snapshot import BlockState
from lbc_gui.block.life_plot import combination_colour
from lbc_gui.captions import ordinal, with_minus
from lbc_gui.widgets.table import Column, TableModel, TableView, faint

ROWS_IN_ORDER = 20
"""Up to this number combinations are in lexicographic order; above it the best come first."""

SHOWN_ROWS = 128
"""The best combinations that are listed if a block has more."""


@dataclass(frozen=True)
class CombinationRow:
    """One combination of ``block``; ``score`` is −inf once it has been removed."""

    block: BlockState
    combination: int
    score: float
    mean: float
    rank: int

    @property
    def live(self) -> bool:
        return self.score > -np.inf


def _number(row: CombinationRow, number: float, sign: str, removed: str) -> str:
    return with_minus(f"{number:{sign}.5f}") if row.live else removed


COLUMNS: tuple[Column[CombinationRow], ...] = (
    Column(
        "kept", lambda row: squares(row.block.pattern, row.combination),
        "The positions that the combination keeps, and its colour in every picture",
        swatch=lambda row: combination_colour(row.combination, row.block.pattern),
    ),
    Column("score", lambda row: _number(row, row.score, "", "removed"), number=True),
    Column("vs mean", lambda row: _number(row, row.score - row.mean, "+", "—"), number=True),
    Column("rank", lambda row: ordinal(row.rank) if row.live else "—", number=True),
)  # fmt: skip


class CombinationsTable(TableView[CombinationRow]):
    """Few combinations in lexicographic order, of many the best first."""

    def __init__(self) -> None:
        model = TableModel(
            COLUMNS,
            colour=lambda row: None if row.live else faint(),
            bold=lambda row: row.live and row.rank == 1,
            key=lambda row: (row.block.index, row.block.pattern, row.combination),
        )
        super().__init__(model, "Combinations", stretch=-1, row_height=22)

    def show_block(self, block: BlockState | None) -> None:
        self.table.show_rows([] if block is None else _rows(block))


def _rows(block: BlockState) -> list[CombinationRow]:
    ranks = rank(block.scores[None])[0]
    shown = range(len(ranks))
    if len(ranks) > ROWS_IN_ORDER:
        shown = np.argsort(ranks)[:SHOWN_ROWS].tolist()
    mean = float(block.scores[block.scores > -np.inf].mean(dtype=np.float64))
    return [CombinationRow(block, c, float(block.scores[c]), mean, int(ranks[c])) for c in shown]
