"""Level of detail: no more cells than the screen has pixels. Pure numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lbc.heatmap import Codes


@dataclass(frozen=True)
class Detail:
    """A part of the picture, reduced: ``codes``, and where it lies in cells."""

    codes: Codes
    x: int
    y: int
    width: int
    height: int


def reduce_best(codes: Codes, rows: int, columns: int) -> Codes:
    """The greatest code of every rows × columns cells: (H, W) → (⌈H/rows⌉, ⌈W/columns⌉)."""
    return _along_columns(_along_rows(codes, rows), columns)


def detail(
    codes: Codes, x0: float, y0: float, x1: float, y1: float, width: int, height: int
) -> Detail:
    """The cells within x0 … x1 and y0 … y1, reduced to at most ``width`` × ``height``.

    Exact as soon as every cell has a pixel. Strides keep to multiples of the step, so that panning
    never makes the picture flicker.
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
    part = reduce_best(codes[top:bottom, left:right], rows, columns)
    shape = (part.shape[1] * columns, part.shape[0] * rows)
    return Detail(np.ascontiguousarray(part), left, top, *shape)


def _along_rows(codes: Codes, step: int) -> Codes:
    whole = len(codes) // step * step
    best = codes[0:whole:step]
    for k in range(1, step):
        best = np.maximum(best, codes[k:whole:step])
    if whole == len(codes):
        return best
    return np.concatenate([best, codes[whole:].max(axis=0, keepdims=True)])


def _along_columns(codes: Codes, step: int) -> Codes:
    whole = codes.shape[1] // step * step
    best = codes[:, 0:whole:step]
    for k in range(1, step):
        best = np.maximum(best, codes[:, k:whole:step])
    if whole == codes.shape[1]:
        return best
    return np.concatenate([best, codes[:, whole:].max(axis=1, keepdims=True)], axis=1)
