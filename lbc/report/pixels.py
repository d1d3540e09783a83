"""Pictures of a layer as PNG in data URIs, reduced to the size of a page."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image

from lbc.pictures.colour_keys import winner_codes, winner_key
from lbc.pictures.colour_tables import lookup_table
from lbc.pictures.score_codes import (
    BLANK,
    HIGHEST,
    LOWEST,
    Codes,
    Fold,
    difference,
    levels,
    quantise,
)
from lbc.sparsity.arrays import Array, Bools
from lbc.sparsity.pattern import Pattern

WIDEST, TALLEST = 1600, 1200
"""Pixels of a picture at most: ResNet-50's largest layers have 4,608 columns."""

KEPT = (38, 134, 204)
"""A blue that is clear on paper and on a dark screen."""


@dataclass(frozen=True)
class PngImage:
    """A PNG, ``uri``, of ``width`` × ``height`` pixels, each showing ``cells`` (y, x)."""

    uri: str
    width: int
    height: int
    cells: tuple[int, int]


def score_level(scores: Array) -> float:
    """The difference from a block's mean, ±, at which the colours end. ``scores``: (blocks, C)."""
    return levels(difference(scores.astype(np.float32)), "difference")[1]


def score_picture(scores: Array, outputs: int, level: float) -> PngImage:
    """Scores less the mean of their block, folded.

    ``scores``: (blocks, C), −inf where removed. Where cells are reduced the best one is shown.
    """
    shown = difference(scores.astype(np.float32))
    codes = Fold(outputs, *scores.shape).apply(quantise(shown, -level, level))
    steps = _steps(codes.shape)
    best = _reduced(np.maximum, codes, steps)
    alpha = bytes(0 if code == BLANK else 255 for code in range(256))
    return _picture(best, lookup_table("difference", (0, 0, 0)), alpha, steps)


def mask_cells(mask: Bools, pattern: Pattern) -> Bools:
    """A mask, bool (O, I, *kernel), with its columns in the order of blocks: bool (O, columns)."""
    return pattern.to_blocks(mask).reshape(len(mask), -1)


def mask_picture(cells: Bools) -> PngImage:
    """Cells, bool (rows, columns), drawn where true, transparent elsewhere.

    Where cells are reduced their mean is shown.
    """
    steps = _steps(cells.shape)
    total = _reduced(np.add, cells.astype(np.int64), steps)
    area = _reduced(np.add, np.ones(cells.shape, dtype=np.int64), steps)
    levels_of_grey = 1 if steps == (1, 1) else 255
    codes = (total * levels_of_grey // area).astype(np.uint8)
    table = np.tile(np.array(KEPT, dtype=np.uint8), (levels_of_grey + 1, 1))
    alpha = bytes(255 * code // levels_of_grey for code in range(levels_of_grey + 1))
    return _picture(codes, table, alpha, steps)


def winner_picture(winners: Array, outputs: int, pattern: Pattern) -> PngImage:
    """Every block in the colour of its combination, ``winners`` (blocks,): outputs × blocks."""
    codes = winner_codes(winners, pattern).reshape(outputs, -1)
    rows, columns = steps = _steps(codes.shape)
    table = winner_key(pattern).table((0, 0, 0))
    return _picture(codes[::rows, ::columns], table, b"\xff" * 256, steps)


def colour_bar() -> str:
    """The colours of ``score_picture`` from lowest to highest: a data URI, one pixel high."""
    codes = np.arange(LOWEST, HIGHEST + 1, dtype=np.uint8)[None]
    return _picture(codes, lookup_table("difference", (0, 0, 0)), b"\xff" * 256, (1, 1)).uri


def _steps(shape: tuple[int, ...]) -> tuple[int, int]:
    height, width = shape
    return -(-height // TALLEST), -(-width // WIDEST)


def _reduced(function: np.ufunc, cells: Array, steps: tuple[int, int]) -> Array:
    """``function`` over every steps[0] × steps[1] cells; the last ones may be fewer."""
    for axis, step in enumerate(steps):
        if step > 1:
            cells = function.reduceat(cells, np.arange(0, cells.shape[axis], step), axis=axis)
    return cells


def _picture(codes: Codes, table: Array, alpha: bytes, steps: tuple[int, int]) -> PngImage:
    image = Image.fromarray(np.ascontiguousarray(codes))
    image.putpalette(table.astype(np.uint8).tobytes())
    memory = BytesIO()
    image.save(memory, format="PNG", optimize=True, transparency=alpha)
    encoded = base64.b64encode(memory.getvalue()).decode("ascii")
    return PngImage(f"data:image/png;base64,{encoded}", *image.size, steps)
