"""Values at a place of the ascending order, without sorting everything."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lbc.sparsity.arrays import Array
from lbc.sparsity.live_sets import is_plain, suits_numpy

SAMPLE = 4096
"""Values of a long row that are sorted to find an interval in which the place must be."""

DEVIATIONS = 4
"""Half the width of the interval, in standard deviations of the sample's estimate, at most."""


def around_cut(values: Tensor, cut: int) -> tuple[Tensor, Tensor]:
    """The ``cut``-th smallest value of every row, and the one after it: (rows, n) → (rows, 1).

    ``cut`` is from 1 to n − 1.
    """
    if not (is_plain(values) and suits_numpy(values)):
        pair = values.sort(dim=1).values[:, cut - 1 : cut + 1]
        return pair[:, :1], pair[:, 1:]
    array = values.numpy()
    if array.shape[1] > 8 * SAMPLE:
        pair = torch.from_numpy(np.stack([_pair(row, cut) for row in array]))
    else:
        parted = np.partition(array, cut, axis=1)
        pair = torch.from_numpy(np.stack([parted[:, :cut].max(axis=1), parted[:, cut]], axis=1))
    return pair[:, :1], pair[:, 1:]


def smallest(values: Tensor, count: int) -> Tensor:
    """The mask of the ``count`` smallest values, earlier ones among equals: (n,) → bool (n,)."""
    if not 0 < count < len(values):
        return torch.full_like(values, count > 0, dtype=torch.bool)
    if not is_plain(values):
        order = values.argsort(stable=True)[:count]
        return torch.zeros_like(values, dtype=torch.bool).scatter(0, order, True)
    bound, after = around_cut(values[None], count)
    chosen = values <= bound[0]
    if bool(bound == after):
        below, equal = values < bound[0], values == bound[0]
        chosen = below | equal & (equal.cumsum(0) <= count - below.sum())
    return chosen


def _pair(row: Array, cut: int) -> Array:
    """``around_cut`` of a long row: of what lies in an interval that a sample gives."""
    sample = np.sort(row[:: len(row) // SAMPLE])
    place, spread = cut * len(sample) // len(row), int(DEVIATIONS * len(sample) ** 0.5 / 2)
    low, high = sample[max(0, place - spread)], sample[min(len(sample) - 1, place + spread)]
    inside = row[(row >= low) & (row <= high)]
    rank = cut - int(np.count_nonzero(row < low))
    if not 1 <= rank < len(inside):
        inside, rank = row, cut
    return np.partition(inside, (rank - 1, rank))[rank - 1 : rank + 1]
