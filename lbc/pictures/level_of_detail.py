"""Level of detail: no more cells than the screen has pixels. Pure numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from lbc.pictures.score_codes import HIGHEST, LOWEST, Codes, Summary

Reduction = Summary | Literal["furthest", "sample"]
"""What represents several cells: a summary, the code furthest from the middle, or the first."""


@dataclass(frozen=True)
class Detail:
    """A part of the picture, reduced: ``codes``, and its position and size in cells."""

    codes: Codes
    x: int
    y: int
    width: int
    height: int


def reduce_codes(codes: Codes, rows: int, columns: int, summary: Reduction = "best") -> Codes:
    """One code for every rows × columns codes: (H, W) → (⌈H/rows⌉, ⌈W/columns⌉).

    The greatest, the least, the rounded mean, the one furthest from the middle (the greater of
    equals), or the first; margins are averaged too. All but the greatest and the first treat every
    code as a level, so they suit pictures without blank and removed cells.
    """
    if summary == "sample":
        return codes[::rows, ::columns]
    if summary == "furthest":
        high, low = (reduce_codes(codes, rows, columns, end) for end in ("best", "worst"))
        return np.where(high >= LOWEST + HIGHEST - low.astype(np.int16), high, low)
    if summary == "best":
        return _along(np.maximum, _along(np.maximum, codes, rows), columns, axis=1)
    if summary == "worst":
        return _along(np.minimum, _along(np.minimum, codes, rows), columns, axis=1)
    total = _along(np.add, _along(np.add, codes.astype(np.uint32), rows), columns, axis=1)
    high = np.diff(np.minimum(np.arange(0, len(codes) + rows, rows)[: len(total) + 1], len(codes)))
    wide = codes.shape[1]
    across = np.diff(np.minimum(np.arange(0, wide + columns, columns)[: total.shape[1] + 1], wide))
    count = np.multiply.outer(high, across)
    return np.asarray((total + count // 2) // count, dtype=np.uint8)


def detail(
    codes: Codes,
    x0: float,
    y0: float,
    x1: float,
    y1: float,
    width: int,
    height: int,
    summary: Reduction = "best",
) -> Detail:
    """The cells within x0 … x1 and y0 … y1, reduced to at most ``width`` × ``height``.

    Exact once every cell has a pixel. Strides start at multiples of the step, so that the picture
    does not flicker while panning.
    """
    high, wide = codes.shape
    left, right = max(0, int(x0)), min(wide, int(np.ceil(x1)))
    top, bottom = max(0, int(y0)), min(high, int(np.ceil(y1)))
    if left >= right or top >= bottom:
        return Detail(codes[:0, :0], 0, 0, 0, 0)
    columns = -(-(right - left) // max(1, width))
    rows = -(-(bottom - top) // max(1, height))
    left, top = left // columns * columns, top // rows * rows
    right, bottom = min(wide, -(-right // columns) * columns), min(high, -(-bottom // rows) * rows)
    part = reduce_codes(codes[top:bottom, left:right], rows, columns, summary)
    shape = (part.shape[1] * columns, part.shape[0] * rows)
    return Detail(np.ascontiguousarray(part), left, top, *shape)


def _along(ufunc: np.ufunc, codes: npt.NDArray[Any], step: int, axis: int = 0) -> npt.NDArray[Any]:
    """Strided passes over the array: an order of magnitude faster than ``ufunc.reduceat``."""
    if step == 1:
        return codes
    lines = np.moveaxis(codes, axis, 0)
    whole = len(lines) // step * step
    reduced = lines[0:whole:step]
    for k in range(1, step):
        reduced = ufunc(reduced, lines[k:whole:step])
    if whole < len(lines):
        rest = ufunc.reduce(lines[whole:], axis=0, dtype=codes.dtype)
        reduced = np.concatenate([reduced, rest[None]])
    return np.moveaxis(reduced, 0, axis)
