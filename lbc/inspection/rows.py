"""A weight as a matrix of rows of blocks: what is counted, compared and drawn."""

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
"""How many weights are worked on at a time: what is in between then stays in the cache."""


def weight_rows(weight: Tensor) -> Rows:
    """(O, I, *kernel) → (O, kernel · I): rows are output channels, and the inputs of one kernel
    position stand side by side, as ``Pattern.to_blocks`` has them. float64 stays, the rest becomes
    float32, which holds all narrower types exactly. A copy, so that the file may go."""
    import torch

    wide = weight if weight.dtype in (torch.float32, torch.float64) else weight.float()
    rows = wide.detach().movedim(1, -1).reshape(weight.shape[0], -1)
    array: Rows = np.array(rows.numpy(), order="C")
    return array


def kept_rows(weight: Tensor) -> Kept:
    """1 where a weight is not zero, in the order of ``weight_rows``. NaN is not zero."""
    rows = (weight != 0).movedim(1, -1).reshape(weight.shape[0], -1)
    return np.ascontiguousarray(rows.numpy().view(np.uint8))


def block_counts(kept: Counts, m: int) -> Counts:
    """The sums of every ``m`` numbers side by side: (rows, columns) → (rows, columns / m)."""
    counts = kept
    while m % 2 == 0:
        # Two strided halves add up many times faster than a sum along a short axis.
        counts = counts[:, 0::2] + counts[:, 1::2]
        m //= 2
    if m > 1:
        counts = counts.reshape(len(counts), -1, m).sum(axis=2, dtype=counts.dtype)
    return counts


def in_chunks(rows: int, columns: int) -> Iterator[slice]:
    """Slices of whole rows, of about ``CHUNK`` numbers each."""
    step = max(1, CHUNK // max(1, columns))
    for start in range(0, rows, step):
        yield slice(start, min(rows, start + step))
