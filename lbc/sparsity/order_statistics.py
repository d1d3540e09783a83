"""Values at a place of the ascending order, without sorting everything."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial

import numpy as np
import torch
from torch import Tensor

from lbc.sparsity.arrays import Array
from lbc.sparsity.live_sets import is_plain, suits_numpy

SHORTEST_SAMPLED = 1024
"""Rows with fewer values are partitioned as they are."""

LARGEST_SAMPLE = 4096
"""The most values of a row that are sorted to find an interval around the place."""

CHUNK = 1 << 18
"""Values looked at together, which a cache holds."""

DEVIATIONS = 4
"""Half the width of an interval, in standard deviations of the estimate that it is made of."""

CURVATURE = 32
"""By what part of its values an interval is wider than deviations ask, since densities vary."""


def around_cut(values: Tensor, cut: int) -> tuple[Tensor, Tensor]:
    """The ``cut``-th smallest value of every row, and the one after it: (rows, n) → (rows, 1).

    ``cut`` is from 1 to n − 1.
    """
    if not (is_plain(values) and suits_numpy(values)):
        pair = values.sort(dim=1).values[:, cut - 1 : cut + 1]
    else:
        found = _sampled if values.shape[1] >= SHORTEST_SAMPLED else _partitioned
        threads = torch.get_num_threads()
        rows = min(CHUNK // values.shape[1], -(-len(values) // threads))
        parts = [part.numpy() for part in torch.split(values.contiguous(), max(1, rows))]
        run = map if threads == 1 or len(parts) == 1 else _pool(threads).map  # NumPy uses one
        pair = torch.from_numpy(np.concatenate([*run(partial(found, cut=cut), parts)]))
    return pair[:, :1], pair[:, 1:]


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "order-statistics")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # it has none of the threads


def smallest(values: Tensor, count: int | Tensor) -> Tensor:
    """The mask of the ``count`` smallest values, earlier ones among equals: (n,) → bool (n,).

    A count that is a tensor may change from one call of a compiled graph to the next.
    """
    if isinstance(count, Tensor):
        first = torch.arange(len(values), device=values.device) < count
        return torch.zeros_like(first).scatter(0, values.argsort(stable=True), first)
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


def _partitioned(rows: Array, cut: int) -> Array:
    parted = np.partition(rows, cut, axis=1)
    return np.stack([parted[:, :cut].max(axis=1), parted[:, cut]], axis=1)


def _sampled(rows: Array, cut: int) -> Array:
    """Both values of every row, (rows, 2), of the few in an interval around them.

    A sample gives an interval, and counting what lies below its ends a narrower one by linear
    interpolation. Of that all is exact; a row whose interval misses a value is partitioned.
    """
    low, high = _narrowed(rows, cut, *_of_sample(rows, cut))
    inside = np.flatnonzero((rows >= low) & (rows <= high))
    counts = np.diff(np.searchsorted(inside, np.arange(len(rows) + 1) * rows.shape[1]))
    rank = cut - _below(rows, low)[:, 0]
    padded = np.full((len(rows), max(2, counts.max())), np.inf, rows.dtype)
    padded[np.arange(padded.shape[1]) < counts[:, None]] = rows.ravel()[inside]
    padded.sort(axis=1)
    missed = (rank < 1) | (rank >= counts)
    last, row = np.where(missed, 1, rank), np.arange(len(rows))
    pair = np.stack([padded[row, last - 1], padded[row, last]], axis=1)
    if missed.any():
        pair[missed] = _partitioned(rows[missed], cut)
    return pair


def _of_sample(rows: Array, cut: int) -> tuple[Array, Array]:
    """The ends of an interval in every row that holds both values, most probably: (rows, 1)."""
    count = rows.shape[1]
    sample = np.sort(rows[:, :: max(16, count // LARGEST_SAMPLE)], axis=1)
    size = sample.shape[1]
    place, spread = cut * size // count, int(DEVIATIONS * size**0.5 / 2)
    first, last = max(0, place - spread), min(size - 1, place + spread)
    return sample[:, first : first + 1], sample[:, last : last + 1]


def _narrowed(rows: Array, cut: int, low: Array, high: Array) -> tuple[Array, Array]:
    below = _below(rows, low)
    between = np.maximum(_below(rows, high) - below, 1)
    width = (high - low) / between
    middle = low + width * (cut - below)
    spread = width * (DEVIATIONS * between**0.5 / 2 + between / CURVATURE + 1)
    ends = np.maximum(low, middle - spread), np.minimum(high, middle + spread)
    return ends[0].astype(rows.dtype), ends[1].astype(rows.dtype)


def _below(rows: Array, bounds: Array) -> Array:
    """How many of each row are below its bound: (rows, 1)."""
    chosen = rows < bounds
    # Row by row, several times as fast as along an axis.
    return np.array([[np.count_nonzero(row)] for row in chosen])
