"""What the colour codes of a picture mean: levels or kinds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from lbc.pictures.colour_tables import DISTINCT, RGB, kinds_table, lookup_table
from lbc.pictures.glyphs import glyphs, members_of
from lbc.pictures.score_codes import HIGHEST, LOWEST, Codes, Colour
from lbc.sparsity.arrays import Bools, Indices
from lbc.sparsity.pattern import Pattern

WIDEST_NAMED = 8
"""The widest block whose combinations fit in a legend."""


SPREAD = 127
"""Codes of winners beside levels, where a pattern has more combinations than distinct colours."""


@dataclass(frozen=True)
class Scale:
    """Colour codes that are levels. ``texts`` label the ends in place of the levels; ``removed``
    labels the colour of removed cells, empty if the picture has none. With ``decided`` the codes
    above ``highest`` are the winners of decided blocks."""

    colour: Colour
    low: float
    high: float
    log: bool = False
    colour_map: str = ""
    texts: tuple[str, str] | None = None
    removed: str = "removed"
    decided: Pattern | None = None

    @property
    def highest(self) -> int:
        """The code of the highest level."""
        return HIGHEST if self.decided is None else HIGHEST - _winner_count(self.decided)

    def table(self, background: RGB) -> Codes:
        """RGB of every colour code: uint8 (256, 3)."""
        if self.decided is None:
            return lookup_table(self.colour, background, self.colour_map)
        return _table_with_winners(self.colour, self.colour_map, self.decided, background)

    def with_winners(self, codes: Codes, decided: Bools, winners: Indices) -> Codes:
        """``codes`` of this scale without winners, (blocks, …), now of this one: ``winners`` are
        the combinations of the blocks that are ``decided``, (blocks,)."""
        assert self.decided is not None
        squeezed = np.arange(256)
        steps = (self.highest - LOWEST) / (HIGHEST - LOWEST)
        squeezed[LOWEST:] = LOWEST + np.arange(HIGHEST - LOWEST + 1) * steps
        result = squeezed.astype(np.uint8)[codes]
        share = (_winner_count(self.decided) - 1) / (self.decided.count - 1)
        of_winners = (self.highest + 1 + winners * share).astype(np.uint8)
        result[decided] = of_winners.reshape(-1, *(1,) * (codes.ndim - 1))
        return result


@dataclass(frozen=True)
class Swatches:
    """Colour codes that are kinds: from ``LOWEST`` on, each with a name and a colour.

    ``removed`` labels the colour of removed cells, empty if the picture has none.
    """

    names: tuple[str, ...]
    colours: tuple[RGB, ...]
    removed: str = "removed"

    def table(self, background: RGB) -> Codes:
        """RGB of every colour code: uint8 (256, 3)."""
        return kinds_table(self.colours, background)


Key = Scale | Swatches
"""What the colour codes of a picture mean."""


def _winner_count(pattern: Pattern) -> int:
    return pattern.count if pattern.count <= len(DISTINCT) else SPREAD


@lru_cache(maxsize=64)
def _table_with_winners(colour: Colour, name: str, pattern: Pattern, background: RGB) -> Codes:
    levels = lookup_table(colour, background, name)
    table, first = levels.copy(), HIGHEST + 1 - _winner_count(pattern)
    table[LOWEST:first] = levels[np.linspace(LOWEST, HIGHEST, first - LOWEST).astype(int)]
    winners = np.linspace(0, pattern.count - 1, HIGHEST + 1 - first).round()
    table[first:] = winner_key(pattern).table(background)[winner_codes(winners, pattern)]
    table.flags.writeable = False  # shared by all callers
    return table


def winner_codes(winners: npt.NDArray[Any], pattern: Pattern) -> Codes:
    """One code for each block's combination: (blocks,).

    Up to as many as there are ``DISTINCT`` colours have consecutive codes; more are spread over all
    levels in lexicographic order, so that combinations with the same beginning look alike.
    """
    if pattern.count <= len(DISTINCT):
        return np.asarray(winners + LOWEST, dtype=np.uint8)
    spread = winners.astype(np.float64) * ((HIGHEST - LOWEST) / (pattern.count - 1))
    return np.asarray(spread + (LOWEST + 0.5), dtype=np.uint8)


def combination_colours(combinations: npt.NDArray[Any], pattern: Pattern) -> Codes:
    """The one colour of each combination, in every picture and plot: (K,) → RGB, uint8 (K, 3)."""
    return winner_key(pattern).table((0, 0, 0))[winner_codes(combinations, pattern)]


def winner_key(pattern: Pattern) -> Key:
    """What the codes of ``winner_codes`` mean."""
    if pattern.count <= len(DISTINCT):
        names = tuple(glyphs(members_of(pattern, c), pattern.m) for c in range(pattern.count))
        return Swatches(names, DISTINCT[: pattern.count], removed="")
    ends = (tuple(range(pattern.n)), tuple(range(pattern.m - pattern.n, pattern.m)))
    first, last = (glyphs(members, pattern.m) for members in ends)
    texts = (first, last) if pattern.m <= WIDEST_NAMED else ("first", "last")
    return Scale("rank", 0, pattern.count - 1, texts=texts, removed="")
