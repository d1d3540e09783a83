"""The ways to colour a mask."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lbc.pictures.colour_keys import Key, Scale, Swatches, winner_codes, winner_key
from lbc.pictures.colour_tables import DISTINCT, SAME_COLOUR
from lbc.pictures.level_of_detail import Reduction
from lbc.pictures.score_codes import (
    LOWEST,
    REMOVED,
    USUAL_CLIP,
    Codes,
    levels,
    quantise,
    summarise,
)
from lbc.sparsity.arrays import Bools, Floats, Indices
from lbc.sparsity.combinations import row_counts
from lbc.sparsity.pattern import Pattern

SAME, LOST, GAINED = LOWEST, LOWEST + 1, LOWEST + 2
"""Codes of what both masks keep, the first alone, the second alone; of neither: ``REMOVED``."""

GREYS = "crameri:grayC_r"
KEPT_COLOUR = (236, 236, 236)
SHARES = "crameri:lajolla"


@dataclass(frozen=True)
class Coloured:
    """Codes of every weight, (blocks, M), and of every block, (blocks,), with their keys."""

    cells: Codes
    key: Key
    blocks: Codes
    blocks_key: Key
    reduction: Reduction


def signed(values: Floats, kept: Bools, like: Coloured | None = None) -> Coloured:
    """Values about 0. Each block shows the one furthest from 0; ``like`` gives the levels."""
    shown = np.where(kept, values, np.float32(-np.inf))
    high = _level(like) or levels(shown, "difference", USUAL_CLIP)[1]
    key = Scale("difference", -high, high)
    blocks = quantise(furthest(shown), -high, high)
    return Coloured(quantise(shown, -high, high), key, blocks, key, "furthest")


def sizes(values: Floats, kept: Bools, like: Coloured | None = None) -> Coloured:
    """Absolute values from 0; each block shows its largest."""
    shown = np.where(kept, np.abs(values), np.float32(-np.inf))
    high = _level(like) or max(levels(shown, "score", USUAL_CLIP)[1], 1e-12)
    key = Scale("score", 0.0, high, texts=("0", f"{high:.3g}"))
    blocks = quantise(np.maximum(summarise(shown, "best"), 0), 0.0, high)
    return Coloured(quantise(shown, 0.0, high), key, blocks, key, "best")


def mask_alone(kept: Bools) -> Coloured:
    """Kept or not; blocks, and reduced cells, show the share that is kept."""
    cells = np.where(kept, np.uint8(LOWEST), np.uint8(REMOVED))
    key = Swatches(("kept",), (KEPT_COLOUR,))
    whole = Scale("score", 0, 1, colour_map=GREYS, texts=("0 %", "100 % kept"), removed="")
    blocks = quantise(_share(kept), 0.0, 1.0)
    return Coloured(cells, key, blocks, whole, "mean")


def values_between(low: float, high: float, values: Floats) -> Coloured:
    """Values in a range, masked or not; each block shows its mean."""
    high = high if high > low else low + 1.0  # of a single block, number 0
    texts = (f"{low:.4g}", f"{high:.4g}")
    key = Scale("score", low, high, colour_map=GREYS, texts=texts, removed="")
    blocks = quantise(values.mean(axis=1), low, high)
    return Coloured(quantise(values, low, high), key, blocks, key, "mean")


def best_combinations(winners: Indices, pattern: Pattern) -> Coloured:
    """Every block in the colour of its best combination."""
    of_block = winner_codes(winners, pattern)
    cells = np.broadcast_to(of_block[:, None], (len(winners), pattern.m))
    key = winner_key(pattern)
    return Coloured(cells, key, of_block, key, "sample")


def mask_difference(before: Bools, after: Bools, names: tuple[str, str, str, str]) -> Coloured:
    """Where two masks differ; blocks show the share of their positions that do.

    ``names``: kept by both, by the first alone, by the second alone, by neither. The brightest
    share is twice the layer's, so that few differences are as visible as many.
    """
    key = Swatches(names[:3], (SAME_COLOUR, DISTINCT[5], DISTINCT[1]), names[3])
    share = _share(before != after)
    high = min(1.0, 2 * float(share.mean())) or 1.0
    texts = ("0 %", f"{100 * high:.3g} % differ")
    whole = Scale("score", 0, high, colour_map=SHARES, texts=texts, removed="")
    return Coloured(compare(before, after), key, quantise(share, 0.0, high), whole, "mean")


def furthest(shown: Floats) -> Floats:
    """The finite value of each block that is furthest from 0, or 0: (blocks, M) → (blocks,)."""
    found = np.zeros(len(shown), np.float32)
    for column in shown.T:
        size = np.where(np.isfinite(column), np.abs(column), np.float32(-1))
        np.copyto(found, column, where=size > np.abs(found))
    return found


def compare(before: Bools, after: Bools) -> Codes:
    """``SAME``, ``LOST`` or ``GAINED`` where either mask keeps, else ``REMOVED``: (blocks, M)."""
    table = np.array([[REMOVED, GAINED], [LOST, SAME]], np.uint8)
    return np.asarray(table[before.view(np.uint8), after.view(np.uint8)])


def _share(flags: Bools) -> Floats:
    return np.asarray(row_counts(flags) / flags.shape[1], dtype=np.float32)


def _level(like: Coloured | None) -> float | None:
    return like.key.high if like is not None and isinstance(like.key, Scale) else None
