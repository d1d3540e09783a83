"""From masks to colour codes, one cell per weight; all arrays are by blocks. Pure numpy."""

from __future__ import annotations

from math import comb
from typing import Any

import numpy as np
import numpy.typing as npt

from lbc.pictures.colour_tables import DISTINCT
from lbc.pictures.score_codes import HIGHEST, LOWEST, REMOVED, Codes, Floats
from lbc.sparsity.pattern import Pattern

Flags = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]

SAME, LOST, GAINED = LOWEST, LOWEST + 1, LOWEST + 2
"""Codes of what two masks both keep, the first alone, the second alone; neither is ``REMOVED``."""

_LAST = 1 << 62
"""Ranks stay below this, within 64 bits."""


def lexicographic(kept: Flags, pattern: Pattern) -> Indices | None:
    """Which combination each block keeps: bool (blocks, M) → int64 (blocks,).

    With positions p_0 < p_1 < …, C − 1 − Σ C(M − 1 − p_i, N − i): how many combinations come
    after, counted by the first position that is another. None where some block does not keep
    exactly N, or the combinations cannot be counted in 64 bits.
    """
    if pattern.count > _LAST or (counts(kept) != pattern.n).any():
        return None
    # Position p can be p_i for i <= p only; the numbers beside are never looked up.
    table = np.array(
        [[comb(pattern.m - 1 - p, pattern.n - i) if i <= p else 0 for i in range(pattern.n + 1)]
         for p in range(pattern.m)], np.int64,
    )  # fmt: skip
    after = np.zeros(len(kept), np.int64)
    seen = np.zeros(len(kept), np.intp)
    for p, column in enumerate(kept.T):
        after += table[p][seen] * column
        seen += column
    return pattern.count - 1 - after


def counts(flags: Flags) -> npt.NDArray[np.int32]:
    """How many of each block's positions are true: (blocks, M) → (blocks,)."""
    total = np.zeros(len(flags), np.int32)
    for column in flags.T:  # several times faster than a sum along a short axis
        total += column
    return total


def held(winners: npt.NDArray[Any], pattern: Pattern) -> Flags:
    """The positions that combinations hold: int (blocks,) → bool (blocks, M)."""
    flags = np.zeros((len(winners), pattern.m), bool)
    members = pattern.members.numpy()
    np.put_along_axis(flags, members[winners], True, axis=1)
    return flags


def furthest(shown: Floats) -> Floats:
    """Of each block's finite values the one furthest from 0, 0 without any: (blocks,)."""
    found = np.zeros(len(shown), np.float32)
    for column in shown.T:
        size = np.where(np.isfinite(column), np.abs(column), np.float32(-1))
        np.copyto(found, column, where=size > np.abs(found))
    return found


def compare(before: Flags, after: Flags) -> Codes:
    """``SAME``, ``LOST`` or ``GAINED`` where either mask keeps, else ``REMOVED``: (blocks, M)."""
    table = np.array([[REMOVED, GAINED], [LOST, SAME]], np.uint8)
    return np.asarray(table[before.view(np.uint8), after.view(np.uint8)])


def winner_codes(winners: npt.NDArray[Any], pattern: Pattern) -> Codes:
    """One code for each block's combination: (blocks,).

    As many as ``DISTINCT`` colours follow one another; more are spread over all levels in
    lexicographic order, so that combinations which begin alike look alike.
    """
    if pattern.count <= len(DISTINCT):
        return np.asarray(winners + LOWEST, dtype=np.uint8)
    spread = winners.astype(np.float64) * ((HIGHEST - LOWEST) / (pattern.count - 1))
    return np.asarray(spread + (LOWEST + 0.5), dtype=np.uint8)
