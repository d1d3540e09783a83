"""The colours of the mask picture and of a difference, with the names for the legend."""

from __future__ import annotations

from functools import cache

import numpy as np
from cmap import Colormap

from lbc.inspection.picture import BROKEN, KEPT, ONLY_FIRST, ONLY_SECOND, SHADES, ZERO
from lbc.pictures.colour_tables import REMOVED_COLOUR
from lbc_gui.heatmap.cells_view import Table
from lbc_gui.heatmap.key_legend import Kind

FIRST, SECOND = (86, 180, 233), (230, 159, 0)
"""Sky blue and orange of Okabe and Ito, distinct from every grey."""

PLAIN, PLAIN_BROKEN = (134, 182, 225), (240, 120, 30)

LEVELS = range(KEPT, KEPT + SHADES)
"""Codes from 0 to the largest |w| or |difference|."""

_ZERO, _BROKEN = Kind("zero", REMOVED_COLOUR, ZERO), Kind("in a violation", PLAIN_BROKEN, BROKEN)
WEIGHT_KINDS = (_ZERO, _BROKEN)
MASK_KINDS = (Kind("kept", PLAIN, KEPT), _ZERO, _BROKEN)
DIFFERENCE_KINDS = (
    Kind("first only", FIRST, ONLY_FIRST), Kind("second only", SECOND, ONLY_SECOND), _ZERO,
)  # fmt: skip


@cache
def weight_table() -> Table:
    """|w| in blues, zeros in the colour of removed weights, violations in oranges."""
    table = np.zeros((256, 3), dtype=np.uint8)
    table[ZERO] = REMOVED_COLOUR
    table[KEPT : KEPT + SHADES] = _shades("crameri:oslo", 0.38, 0.92)
    table[BROKEN : BROKEN + SHADES] = _between((196, 72, 0), (255, 190, 96))
    return table


@cache
def mask_table() -> Table:
    """Kept or zero, regardless of the weight."""
    table = weight_table().copy()
    table[KEPT : KEPT + SHADES] = PLAIN
    table[BROKEN : BROKEN + SHADES] = PLAIN_BROKEN
    return table


@cache
def difference_table() -> Table:
    """|difference| in greys where both keep the weight; flipped positions in two colours."""
    table = np.zeros((256, 3), dtype=np.uint8)
    table[ZERO] = REMOVED_COLOUR
    table[KEPT:ONLY_FIRST] = (255, 255, 255)
    table[KEPT : KEPT + SHADES] = _between((96, 99, 105), (255, 255, 255))
    table[ONLY_FIRST], table[ONLY_SECOND] = FIRST, SECOND
    return table


def _shades(name: str, low: float, high: float) -> Table:
    shades = Colormap(name)(np.linspace(low, high, SHADES))[:, :3]
    return np.round(shades * 255).astype(np.uint8)


def _between(low: tuple[int, int, int], high: tuple[int, int, int]) -> Table:
    share = np.linspace(0, 1, SHADES)[:, None]
    return np.round(np.array(low) * (1 - share) + np.array(high) * share).astype(np.uint8)
