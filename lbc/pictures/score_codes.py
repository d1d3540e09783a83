"""From scores to the picture of a layer: values, colour codes, folding.

Few NumPy calls: each releases the interpreter's lock, and a training thread that waits for it loses
about 30 µs every time, far more than the arithmetic costs on another processor.

Rows of the picture are output channels; along a row are the channel's blocks in the weight's order
(kernel position, then input channels). A block draws its K cells, one per combination, in a
near-square grid, the first combination at the top left.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, isqrt
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from lbc.sparsity.arrays import CACHED_CELLS, Bools, Floats, all_bits, percentile, put

Colour = Literal["margin", "difference", "score", "rank"]
"""What the colour of a cell shows, see ``values``."""
Summary = Literal["best", "worst", "mean", "margin"]
"""What represents a block that has too few pixels for its cells."""

TELLING: dict[Colour, tuple[Summary, ...]] = {
    "margin": ("best", "worst", "mean", "margin"),
    "difference": ("best", "worst", "margin"),
    "score": ("best", "worst", "mean", "margin"),
    "rank": ("margin",),
}
"""The summaries that differ between blocks: the mean difference is always 0, the best rank 1."""

SYMMETRIC: tuple[Colour, ...] = ("difference", "margin")
"""Colours whose levels are symmetric, so that the middle means 0."""

Codes = npt.NDArray[np.uint8]

BLANK = 0
"""Colour code of unused cells in a block's grid."""
REMOVED = 1
"""Colour code of a removed combination."""
LOWEST, HIGHEST = 2, 255
"""Colour codes of the lowest and the highest level. The greatest code is that of the best cell, and
live cells have greater codes than blank and removed ones."""

NOTHING = 1e-12
"""The level if all differences are 0: at the start, and once every block is decided."""

USUAL_CLIP = 0.5
"""Per cent of the cells beyond the levels at each end, so that one block cannot dim the others."""

_SAMPLE = 8_000
_DECADES = 3.0


@dataclass(frozen=True)
class Fold:
    """The geometry of one layer's picture; ``cells`` is K, the cells of each block.

    Weights are drawn ``in_row``, so that the picture has the order of the weight itself.
    """

    outputs: int
    blocks: int
    cells: int
    in_row: bool = False

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of one block's cells: near-square, at least as wide as high."""
        rows = 1 if self.in_row else isqrt(self.cells)
        return rows, ceil(self.cells / rows)

    @property
    def blocks_per_row(self) -> int:
        return self.blocks // self.outputs

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the picture in cells."""
        rows, columns = self.grid
        return self.outputs * rows, self.blocks_per_row * columns

    def apply(self, codes: Codes) -> Codes:
        """uint8 (blocks, K) → the picture, uint8 of ``size``."""
        rows, columns = self.grid
        shape = (self.outputs, rows, self.blocks_per_row, columns)
        full = rows * columns == self.cells
        picture = np.empty(shape, np.uint8) if full else np.full(shape, BLANK, np.uint8)
        if full and codes.size <= CACHED_CELLS:  # larger ones are faster cell by cell
            by_cell = codes.T.reshape(rows, columns, self.outputs, self.blocks_per_row)
            picture[:] = by_cell.transpose(2, 0, 3, 1)
            return picture.reshape(self.size)
        for k in range(self.cells):
            place = (slice(None), k // columns, slice(None), k % columns)
            picture[place] = codes[:, k].reshape(self.outputs, self.blocks_per_row)
        return picture.reshape(self.size)

    def locate(self, y: int, x: int) -> tuple[int, int] | None:
        """Block and cell drawn at row ``y``, column ``x``; None outside or on a blank cell."""
        height, width = self.size
        if not (0 <= y < height and 0 <= x < width):
            return None
        rows, columns = self.grid
        block = y // rows * self.blocks_per_row + x // columns
        cell = y % rows * columns + x % columns
        return (block, cell) if cell < self.cells else None

    def corner(self, block: int) -> tuple[int, int]:
        """Row and column of a block's top left cell."""
        rows, columns = self.grid
        return block // self.blocks_per_row * rows, block % self.blocks_per_row * columns


def _zero_unless(live: Bools, scores: Floats) -> Floats:
    return (scores.view(np.uint32) & all_bits(live)).view(np.float32)


def difference(scores: Floats) -> Floats:
    """Each score less the mean of its block's live ones; −inf where removed. (blocks, K).

    NaN where a diverged training left no finite mean.
    """
    live = scores > -np.inf
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.add.reduce(_zero_unless(live, scores), axis=1, dtype=np.float64)
        mean /= np.add.reduce(live, axis=1, dtype=np.int32)
        return np.asarray(scores - mean.astype(np.float32)[:, None])


def margin(scores: Floats) -> Floats:
    """Each score less the best of the other live ones; −inf where removed. (blocks, K).

    So the best score of a block shows its lead, every other its distance from the best. +inf in a
    decided block.
    """
    best, second = _two_best(scores)
    with np.errstate(over="ignore", invalid="ignore"):
        lead, others = (best - second).view(np.uint32), scores - best[:, None]
    bits = others.view(np.uint32)
    for k, column in enumerate(bits.T):  # of equals each is the best, and leads by 0
        column ^= (column ^ lead) & all_bits(scores[:, k] == best)
    return others


def rank(scores: Floats) -> npt.NDArray[np.int32]:
    """Rank in its block, 1 the best, ties to the earlier; removed ones come last. (blocks, K)."""
    order = np.argsort(-scores, axis=1, kind="stable")
    ranks = np.empty(scores.shape, dtype=np.int32)
    np.put_along_axis(ranks, order, np.arange(1, scores.shape[1] + 1, dtype=np.int32)[None], axis=1)
    return ranks


def values(scores: Floats, colour: Colour) -> Floats:
    """What is coloured: (blocks, K), −inf where removed. Rank 1 is the highest value."""
    match colour:
        case "difference":
            return difference(scores)
        case "score":
            return scores
        case "margin":
            return margin(scores)
        case "rank":
            return put(-rank(scores).astype(np.float32), scores == -np.inf, -np.inf)


def summarise(shown: Floats, summary: Summary) -> Floats:
    """One value for every block, over its live cells: (blocks, K) → (blocks,).

    ``margin`` is the best less the second, +inf if only one is live.
    """
    match summary:
        case "best":
            return np.asarray(np.maximum.reduce(shown, axis=1))
        case "worst":
            filled = put(shown.copy("K"), shown == -np.inf, np.inf)
            return np.asarray(np.minimum.reduce(filled, axis=1))
        case "mean":
            live = shown > -np.inf
            total = np.add.reduce(_zero_unless(live, shown), axis=1)
            return np.asarray(total / live.sum(axis=1, dtype=np.float32))
        case "margin":
            best, second = _two_best(shown)
            return best - second


def _two_best(scores: Floats) -> tuple[Floats, Floats]:
    """The best of every row and the second, equal in a tie; −inf if there is none."""
    best = scores[:, 0].copy()
    second = np.full_like(best, -np.inf)
    for k in range(1, scores.shape[1]):
        np.maximum(second, np.minimum(best, scores[:, k]), out=second)
        np.maximum(best, scores[:, k], out=best)
    return best, second


def levels(shown: Floats, colour: Colour, clip: float = USUAL_CLIP) -> tuple[float, float]:
    """Lowest and highest level: symmetric for differences, so that the middle means "average".

    ``clip`` per cent of a sample lie beyond them at each end.
    """
    if colour == "rank":
        return -float(shown.shape[1]), -1.0
    sample = shown[:: max(1, shown.size // _SAMPLE)].ravel("K")
    sample = sample[np.isfinite(sample)]
    if not len(sample):
        return -1.0, 1.0
    if colour in SYMMETRIC:
        size = np.abs(sample)
        high = percentile(size, 100 - clip) or float(size.max())
        return -max(high, NOTHING), max(high, NOTHING)
    low, high = percentile(sample, clip), percentile(sample, 100 - clip)
    least = max(abs(high), 1e-12) * 1e-6
    return (low, high) if high - low > least else (low - least, high + least)


def quantise(shown: Floats, low: float, high: float, log: bool = False) -> Codes:
    """Colour codes: ``REMOVED`` for −inf, else ``LOWEST`` … ``HIGHEST``; the shape stays.

    With ``log`` equal ratios get equal steps of colour, over three decades: of the distance from
    0 where the levels are symmetric, else of the distance from the lowest. NaN, which a diverged
    training leaves, is ``LOWEST``.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = shown - low
        if log:
            scaled = _logarithmic(scaled / (high - low), symmetric=low == -high)
            high, low = 1.0, 0.0
        scaled *= np.float32((HIGHEST - LOWEST) / (high - low))
        scaled += np.float32(LOWEST + 0.5)
    np.clip(scaled, LOWEST, HIGHEST, out=scaled)
    if np.isnan(scaled.sum()):
        put(scaled, np.isnan(scaled), LOWEST)
    result: npt.NDArray[Any] = scaled.astype(np.uint8)
    # −inf is LOWEST by now, and REMOVED is the code below.
    result -= (shown == -np.inf).view(np.uint8)
    return result


def _logarithmic(scaled: Floats, symmetric: bool) -> Floats:
    """0 … 1 bent so that ratios become distances; symmetric about ½, or from 0."""
    reach = 10**_DECADES
    if not symmetric:
        bent = np.log1p(np.maximum(scaled, 0) * np.float32(reach)) / np.log1p(reach)
        return np.asarray(bent, dtype=np.float32)
    centred = 2 * scaled - 1
    bent = np.sign(centred) * np.log1p(np.abs(centred) * np.float32(reach)) / np.log1p(reach)
    return np.asarray((bent + 1) / 2, dtype=np.float32)
