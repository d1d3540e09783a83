"""From masks to colour codes, one cell per weight; all arrays are by blocks. Pure numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lbc.pictures.colour_tables import DISTINCT
from lbc.pictures.score_codes import HIGHEST, LOWEST, REMOVED, Codes
from lbc.sparsity.arrays import Bools, Floats
from lbc.sparsity.pattern import Pattern

SAME, LOST, GAINED = LOWEST, LOWEST + 1, LOWEST + 2
"""Codes of what two masks both keep, the first alone, the second alone; neither is ``REMOVED``."""


def furthest(shown: Floats) -> Floats:
    """Of each block's finite values the one furthest from 0, 0 without any: (blocks,)."""
    found = np.zeros(len(shown), np.float32)
    for column in shown.T:
        size = np.where(np.isfinite(column), np.abs(column), np.float32(-1))
        np.copyto(found, column, where=size > np.abs(found))
    return found


def compare(before: Bools, after: Bools) -> Codes:
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
