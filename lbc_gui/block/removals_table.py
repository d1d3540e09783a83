"""What became of every combination of a block."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtGui import QFontMetrics

from lbc.pictures.glyphs import squares
from lbc.runs.block_history import Biography, Removal
from lbc_gui.block.life_plot import combination_colour
from lbc_gui.captions import with_minus
from lbc_gui.widgets.table import Column, TableModel, TableView


@dataclass(frozen=True)
class RemovalRow:
    """One combination of a block; ``removal`` is None while it is live."""

    life: Biography
    combination: int
    removal: Removal | None

    @property
    def best(self) -> bool:
        return self.combination == int(self.life.winners[-1])

    @property
    def epoch(self) -> str:
        if self.removal is not None:
            by_hand = "" if self.removal.cause == "score" else f"{self.removal.cause} "
            return f"{by_hand}{self.removal.epoch:.2f}"
        decided = self.life.live is not None and int(self.life.live[-1].sum()) == 1
        return "won" if decided else "leads" if self.best else "lives"

    @property
    def rank(self) -> str:
        one = self.removal
        return "" if one is None else f"{one.rank or '–'} of {one.of}"

    @property
    def margin(self) -> str:
        one = self.removal
        if one is None:
            return ""
        return "–" if one.margin is None else with_minus(f"{one.margin:+.2g}")


COLUMNS: tuple[Column[RemovalRow], ...] = (
    Column(
        "kept", lambda row: squares(row.life.pattern, row.combination),
        "The positions that the combination keeps",
        swatch=lambda row: combination_colour(row.combination, row.life.pattern),
    ),
    Column(
        "epoch", lambda row: row.epoch,
        "When it was removed, and whether by hand; or what became of it",
    ),
    Column(
        "rank", lambda row: row.rank, "Its rank among the combinations that were live until then",
        number=True,
    ),
    Column(
        "margin", lambda row: row.margin, "Its score minus that of the worst that was kept",
        number=True,
    ),
)  # fmt: skip


class RemovalsTable(TableView[RemovalRow]):
    """The best combination, the other live ones, then the removed ones, the last removed first."""

    def __init__(self) -> None:
        model = TableModel(COLUMNS, bold=lambda row: row.best, key=lambda row: row.combination)
        super().__init__(model, "What became of every combination", stretch=-1)
        self.verticalHeader().setDefaultSectionSize(QFontMetrics(self.font()).height() + 5)

    def show_life(self, life: Biography | None) -> None:
        self.table.show_rows([] if life is None or life.live is None else _rows(life))


def _rows(life: Biography) -> list[RemovalRow]:
    assert life.live is not None
    best, removals = int(life.winners[-1]), {one.combination: one for one in life.removals}
    others = [c for c in life.live[-1].nonzero()[0].tolist() if c != best]
    removed = sorted(removals.values(), key=lambda one: (-one.moment, one.rank or 0))
    order = (best, *others, *(one.combination for one in removed))
    return [RemovalRow(life, c, removals.get(c)) for c in order]
