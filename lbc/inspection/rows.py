"""Weights as matrices whose rows consist of blocks, for counting, comparing and drawing."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lbc.sparsity.pattern import Pattern

if TYPE_CHECKING:
    from torch import Tensor

Rows = npt.NDArray[np.float32] | npt.NDArray[np.float64]
Kept = npt.NDArray[np.uint8]
Counts = npt.NDArray[np.unsignedinteger[Any]]

CHUNK = 1 << 20
"""Number of weights processed at a time, so that intermediate results stay in the cache."""

UNSIGNED_ZERO = ("float8_e4m3fnuz", "float8_e5m2fnuz")
"""Types without −0, whose bits stand for NaN."""


def rows_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    """(O, I, *kernel) → (O, kernel · I)."""
    return shape[0], prod(shape[1:])


def weight_rows(weight: Tensor, part: slice = slice(None)) -> Tensor:
    """(O, I, *kernel) → (O, kernel · I), or some of the rows: rows are output channels, and the
    inputs of a kernel position are adjacent, as in ``Pattern.to_blocks``."""
    some = weight.detach()[part].movedim(1, -1)
    return some.reshape(some.shape[0], -1).contiguous()


def as_floats(rows: Tensor) -> Rows:
    """The values of ``weight_rows``. Types other than float64 become float32, which represents
    narrower ones exactly. Returns a copy that does not need the file."""
    import torch

    wide = rows if rows.dtype in (torch.float32, torch.float64) else rows.float()
    array: Rows = np.array(wide.numpy(), order="C")
    return array


def kept_rows(weight: Tensor, part: slice = slice(None)) -> Kept:
    """1 for each nonzero weight (NaN is nonzero), in the order of ``weight_rows``."""
    import torch

    rows = weight_rows(weight, part)
    if not rows.dtype.is_floating_point:
        return (rows != 0).numpy().view(np.uint8)
    # Several times faster than comparing floats.
    size = rows.element_size()
    bits = rows.view({1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[size]).numpy()
    if str(rows.dtype).removeprefix("torch.") not in UNSIGNED_ZERO:
        bits = bits << 1
    kept: Kept = (bits != 0).view(np.uint8)
    return kept


def block_counts(kept: Counts, m: int) -> Counts:
    """Sum every ``m`` adjacent columns: (rows, columns) → (rows, columns / m)."""
    counts = kept
    while m % 2 == 0:
        # Adding two strided halves is many times faster than a sum along a short axis.
        counts = counts[:, 0::2] + counts[:, 1::2]
        m //= 2
    if m > 1:
        counts = sum((counts[:, at::m] for at in range(1, m)), start=counts[:, ::m])
    return counts


def group_flags(kept: Kept, width: int) -> Kept:
    """1 for each group that keeps a weight: (rows, columns) → (rows, columns / width)."""
    flags = kept[:, ::width]
    for at in range(1, width):
        flags = flags | kept[:, at::width]
    return flags


def unit_counts(kept: Kept, pattern: Pattern) -> Counts:
    """How many weights each block keeps, or groups: (rows, columns) → (rows, columns / M)."""
    units: Counts = group_flags(kept, pattern.width)
    wide = pattern.units.m > np.iinfo(np.uint8).max
    return block_counts(units.astype(np.uint16) if wide else units, pattern.units.m)


def in_chunks(rows: int, columns: int) -> Iterator[slice]:
    """Yield slices of whole rows with about ``CHUNK`` elements each."""
    step = max(1, CHUNK // max(1, columns))
    for start in range(0, rows, step):
        yield slice(start, min(rows, start + step))
