"""Combinations of a block's positions, in numpy: sums, unions, winners, live bits.

Drawing and reading a history must not wait seconds for torch to load. What training needs on a GPU
has one counterpart in torch, which each docstring names; both give the same bits.

(rows, C) and (rows, M) arrays are made column by column (Fortran order): what is done to every
block's k-th cell then runs through memory in order.
"""

from __future__ import annotations

from math import comb
from typing import Any

import numpy as np
import numpy.typing as npt

from lbc.sparsity.arrays import Array, Bools, Bytes, Floats, Indices, by_chunks, put
from lbc.sparsity.pattern import Pattern

CHUNK_CELLS = 1 << 21
"""Live bits unpacked at a time: 2 MiB as bools, 8 MiB in float32."""

_LARGEST_INDEX = 1 << 62
_MOST_PASSES = 256
_FEWEST_ROWS = 4_000


def pack(live: Bools) -> Bytes:
    """bool (rows, C) → uint8 (rows, ⌈C / 8⌉), combination c in bit c mod 8 of byte c // 8.

    In torch: ``lbc.sparsity.live_sets.pack``.
    """
    return np.packbits(live, axis=1, bitorder="little")


def unpack(packed: Bytes, count: int) -> Bools:
    """uint8 (rows, ⌈count / 8⌉) → bool (rows, count); the inverse of ``pack``.

    In torch: ``lbc.sparsity.live_sets.unpack``.
    """
    return np.unpackbits(packed.T, axis=0, count=count, bitorder="little").view(np.bool_).T


def member_sums(values: Floats, pattern: Pattern) -> Floats:
    """The sum over each combination's positions: (rows, M) → (rows, C).

    Added in ascending order of position, first within groups, never by a matrix product: equal
    values must give equal sums to the last bit, or ties would not be ties. In torch:
    ``lbc.sparsity.live_sets.member_sums``.
    """
    of_unit = np.ascontiguousarray(pattern.unit_sums(values).T)
    first, *rest = pattern.units.member_array.T
    sums: Floats = of_unit.take(first, axis=0)
    for members in rest:
        sums += of_unit.take(members, axis=0)
    return sums.T


def live_scores(known: Floats, packed: Bytes, pattern: Pattern, by_position: bool) -> Floats:
    """Scores, −inf where removed: (rows, C).

    ``known``: what each position adds to them, (rows, M), if ``by_position``, else (rows, C).
    ``packed``: live bits (rows, ⌈C / 8⌉), or one row for all while nothing has been removed.
    """

    def compute(rows: slice) -> Floats:
        scores = member_sums(known[rows], pattern) if by_position else known[rows].copy("F")
        if len(packed) == len(known):
            put(scores, ~unpack(packed[rows], pattern.count), -np.inf)
        return scores

    return by_chunks(compute, len(known), pattern.count)


def union(packed: Bytes, pattern: Pattern) -> Bools:
    """The positions that some live combination holds: uint8 (rows, ⌈C / 8⌉) → bool (rows, M)."""
    incidence = pattern.incidence_array.astype(np.float32)

    def held(some: Bytes) -> Bools:
        return np.asarray(unpack(some, pattern.count).astype(np.float32) @ incidence > 0)

    if packed.shape[1] == 1:  # of each live set there can be, once
        return held(np.arange(256, dtype=np.uint8)[:, None])[packed[:, 0]]
    rows = max(1, CHUNK_CELLS // pattern.count)
    return np.concatenate([held(packed[at : at + rows]) for at in range(0, len(packed) or 1, rows)])


def members_mask(winners: npt.NDArray[np.integer[Any]], pattern: Pattern) -> Bools:
    """The positions that combinations hold: int (rows,) → bool (rows, M)."""
    mask = np.zeros((len(winners), pattern.m), np.bool_)
    np.put_along_axis(mask, pattern.member_array[winners], True, axis=1)
    return mask


def index_of(held: Bools, pattern: Pattern) -> Indices | None:
    """Which combination each row holds: bool (rows, M) → int64 (rows,).

    Counts the combinations that come later in lexicographic order, as ``Pattern.index_of`` does in
    torch. None if a row does not hold exactly N, in whole groups, or 64 bits cannot count the
    combinations.
    """
    if pattern.width > 1:
        units = np.ascontiguousarray(held[:, :: pattern.width])
        return index_of(units, pattern.units) if _in_groups(held, units, pattern) else None
    if pattern.count > _LARGEST_INDEX or (row_counts(held) != pattern.n).any():
        return None
    # Position p can be p_i for i <= p only; the other entries are never looked up.
    table = np.array(
        [[comb(pattern.m - 1 - p, pattern.n - i) if i <= p else 0 for i in range(pattern.n + 1)]
         for p in range(pattern.m)], np.int64,
    )  # fmt: skip
    later = np.zeros(len(held), np.int64)
    seen = np.zeros(len(held), np.intp)
    for p, column in enumerate(held.T):
        later += table[p][seen] * column
        seen += column
    return pattern.count - 1 - later


def _in_groups(held: Bools, units: Bools, pattern: Pattern) -> bool:
    return all(np.array_equal(held[:, at :: pattern.width], units) for at in range(pattern.width))


def winners(scores: Floats) -> Indices:
    """The best of every row, the earliest among equals: (rows, K) → int64 (rows,).

    In torch: ``SparseLayer.winners``.
    """
    if scores.shape[1] > _MOST_PASSES or len(scores) < _FEWEST_ROWS:
        return np.asarray(scores.argmax(axis=1), np.int64)
    # Of many rows one pass for each column, which lies in order in memory, is eight times faster.
    best = scores[:, 0]
    found = np.zeros(len(scores), np.uint8)
    for k in range(1, scores.shape[1]):
        better = (scores[:, k] > best).view(np.uint8)
        np.maximum(found, better * np.uint8(k), out=found)
        best = np.maximum(best, scores[:, k])
    return found.astype(np.int64)


def keep_best(scores: Array, live: int) -> Bools:
    """The ``live`` best of every row, the earlier among equals: (rows, K) → bool (rows, K).

    −inf is never kept. In torch: ``lbc.sparsity.live_sets.keep_best``.
    """
    place = scores.shape[1] - live
    threshold = np.partition(scores, place, axis=1)[:, place, np.newaxis]
    kept = (scores >= threshold) & (scores > -np.inf)
    crowded = np.flatnonzero(row_counts(kept) > live)
    if len(crowded):
        rows, least = scores[crowded], threshold[crowded]
        better, equal = rows > least, rows == least
        room = live - better.sum(axis=1, keepdims=True)
        kept[crowded] = better | (equal & (equal.cumsum(axis=1) <= room))
    return np.asarray(kept)


def largest(sizes: Array, pattern: Pattern) -> Bools:
    """The positions of each block's largest groups: sizes ≥ 0, (rows, M) → bool (rows, M).

    A group is as large as the sum of its members; among equals the earlier stays. In torch:
    ``lbc.sparsity.largest``.
    """
    return pattern.of_units(keep_best(pattern.unit_sums(sizes), pattern.units.n))


def kept_of(flags: Bools, pattern: Pattern) -> npt.NDArray[np.int32]:
    """How many weights a mask must keep to keep all flagged: (rows, M) → (rows,).

    More than N break the pattern. A group counts as a whole.
    """
    return row_counts(pattern.unit_sums(flags)) * np.int32(pattern.width)


def row_counts(flags: Bools) -> npt.NDArray[np.int32]:
    """How many of each row are true: (rows, K) → (rows,)."""
    counts = np.zeros(len(flags), np.int32)
    for column in flags.T:  # several times faster than a sum along a short axis
        counts += column
    return counts
