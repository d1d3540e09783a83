"""Weights as matrices whose rows consist of blocks, for counting, comparing and drawing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

Rows = npt.NDArray[np.float32] | npt.NDArray[np.float64]
Kept = npt.NDArray[np.uint8]
Counts = npt.NDArray[np.unsignedinteger[Any]]

CHUNK = 1 << 21
"""Number of weights processed at a time, so that intermediate results stay in the cache."""


def weight_rows(weight: Tensor) -> Rows:
    """(O, I, *kernel) → (O, kernel · I): rows are output channels, and the inputs of a kernel
    position are adjacent, as in ``Pattern.to_blocks``. Types other than float64 are converted to
    float32, which represents narrower ones exactly. Returns a copy that does not need the file."""
    import torch

    wide = weight if weight.dtype in (torch.float32, torch.float64) else weight.float()
    rows = wide.detach().movedim(1, -1).reshape(weight.shape[0], -1)
    array: Rows = np.array(rows.numpy(), order="C")
    return array


def kept_rows(weight: Tensor) -> Kept:
    """1 for each nonzero weight (NaN is nonzero), in the order of ``weight_rows``."""
    rows = (weight != 0).movedim(1, -1).reshape(weight.shape[0], -1)
    return np.ascontiguousarray(rows.numpy().view(np.uint8))


def block_counts(kept: Counts, m: int) -> Counts:
    """Sum every ``m`` adjacent columns: (rows, columns) → (rows, columns / m)."""
    counts = kept
    while m % 2 == 0:
        # Adding two strided halves is many times faster than a sum along a short axis.
        counts = counts[:, 0::2] + counts[:, 1::2]
        m //= 2
    if m > 1:
        counts = counts.reshape(len(counts), -1, m).sum(axis=2, dtype=counts.dtype)
    return counts


def in_chunks(rows: int, columns: int) -> Iterator[slice]:
    """Yield slices of whole rows with about ``CHUNK`` elements each."""
    step = max(1, CHUNK // max(1, columns))
    for start in range(0, rows, step):
        yield slice(start, min(rows, start + step))
