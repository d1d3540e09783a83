"""From scores to the picture of a layer: values, colour codes, folding. Pure numpy.

Rows of the picture are output channels; along a row stand the channel's blocks in the weight's own
order (kernel position, then input channels). A block draws its K cells, one per combination, in a
near-square grid, first combination at the top left.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, isqrt
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Colour = Literal["difference", "score", "rank"]

Floats = npt.NDArray[np.float32]
Codes = npt.NDArray[np.uint8]

BLANK = 0
"""Colour code of the cells that fill up a block's grid."""
REMOVED = 1
"""Colour code of a removed combination."""
LOWEST, HIGHEST = 2, 255
"""Colour codes of the lowest and the highest level. The greatest code of several cells is the best
of them, and blank and removed cells give way to live ones."""

NOTHING = 1e-12
"""The level where all differences are 0: at the start, and where every block is decided."""

_SAMPLE = 50_000


@dataclass(frozen=True)
class Fold:
    """The geometry of one layer's picture; ``cells`` is K, what each block draws."""

    outputs: int
    blocks: int
    cells: int

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of one block's cells: near-square, at least as wide as high."""
        rows = isqrt(self.cells)
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
        if rows * columns != self.cells:
            padded = np.full((self.blocks, rows * columns), BLANK, dtype=np.uint8)
            padded[:, : self.cells] = codes
            codes = padded
        picture = codes.reshape(self.outputs, self.blocks_per_row, rows, columns)
        return np.ascontiguousarray(picture.transpose(0, 2, 1, 3)).reshape(self.size)

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


def difference(scores: Floats) -> Floats:
    """Each score less the mean of its block's live ones; −inf where removed. (blocks, K).

    NaN where a diverged training left no finite mean.
    """
    live = scores > -np.inf
    ones = np.ones(scores.shape[1])
    # Products with a vector of ones: three times faster here than sums along a short axis.
    total = np.where(live, scores, np.float32(0)).astype(np.float64) @ ones
    with np.errstate(invalid="ignore"):
        mean = total / (live.astype(np.float32) @ ones.astype(np.float32))
        return np.asarray(scores - mean.astype(np.float32)[:, None])


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
        case "rank":
            ranked = -rank(scores).astype(np.float32)
            return np.where(scores > -np.inf, ranked, np.float32(-np.inf))


def levels(shown: Floats, colour: Colour) -> tuple[float, float]:
    """Lowest and highest level: symmetric for differences, so that the middle means "average".

    The 99.5th percentile of a sample, not the extreme, so that one block cannot dim all others.
    """
    if colour == "rank":
        return -float(shown.shape[1]), -1.0
    sample = shown.ravel()[:: max(1, shown.size // _SAMPLE)]
    sample = sample[np.isfinite(sample)]
    if not len(sample):
        return -1.0, 1.0
    if colour == "difference":
        high = float(np.percentile(np.abs(sample), 99.5)) or float(np.abs(sample).max())
        return -max(high, NOTHING), max(high, NOTHING)
    low, high = (float(q) for q in np.percentile(sample, (0.5, 99.5)))
    margin = max(abs(high), 1e-12) * 1e-6
    return (low, high) if high - low > margin else (low - margin, high + margin)


def quantise(shown: Floats, low: float, high: float) -> Codes:
    """Colour codes: ``REMOVED`` for −inf, else ``LOWEST`` … ``HIGHEST``. (blocks, K).

    NaN, which a diverged training leaves, is ``LOWEST``.
    """
    scale = (HIGHEST - LOWEST) / (high - low)
    with np.errstate(over="ignore", invalid="ignore"):
        codes = (shown - low) * np.float32(scale) + np.float32(LOWEST + 0.5)
    np.fmin(np.fmax(codes, LOWEST, out=codes), HIGHEST, out=codes)  # unlike clip, these drop NaN
    result: npt.NDArray[Any] = codes.astype(np.uint8)
    result[shown == -np.inf] = REMOVED
    return result
