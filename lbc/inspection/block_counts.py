"""How many blocks of a weight keep how many weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lbc.inspection.rows import (
    Counts,
    Kept,
    as_floats,
    block_counts,
    group_flags,
    in_chunks,
    kept_rows,
    rows_shape,
    weight_rows,
)
from lbc.sparsity.pattern import Pattern

if TYPE_CHECKING:
    from torch import Tensor

WIDTHS = (*range(2, 17), 32)
"""The values of M that are always counted: all up to 16 that divide the input width, and 32."""

Cut = tuple[int, int]
"""M, and the width of the groups whose weights are counted as one."""

Table = npt.NDArray[np.int64]


@dataclass(frozen=True)
class BlockCounts:
    """The zeros of one weight (O, I, *kernel).

    ``blocks[M][k]`` is the number of blocks of M that keep exactly k weights, for every counted M
    that divides the input width; ``groups[M, width][k]`` the number of those with exactly k groups
    in which a weight is kept; ``columns`` (kernel · I) the number of weights kept in each column
    of the rows; ``rows`` the number of rows that are not all zero.
    """

    kept: int
    nonfinite: int
    blocks: dict[int, tuple[int, ...]]
    columns: npt.NDArray[np.int64] = field(compare=False)
    rows: int
    groups: dict[Cut, tuple[int, ...]] = field(default_factory=dict)

    def of(self, pattern: Pattern) -> tuple[int, ...] | None:
        """How many blocks of ``pattern`` keep k weights, or groups; None if not counted."""
        if pattern.width == 1:
            return self.blocks.get(pattern.m)
        return self.groups.get((pattern.m, pattern.width))

    def live_columns(self, m: int, most: float) -> tuple[int, ...]:
        """How many blocks of one row have k columns with more than ``most`` weights, for each k."""
        live = (self.columns > most).reshape(-1, m).sum(axis=1)
        return tuple(map(int, np.bincount(live, minlength=m + 1)))


def count_blocks(weight: Tensor, more: Sequence[Pattern] = ()) -> BlockCounts:
    """Count for each M in ``WIDTHS``, by weights and by pairs, and for the patterns in ``more``."""
    shape = tuple(weight.shape)
    width = shape[1]
    cuts = {(m, 1) for m in WIDTHS} | {(m, 2) for m in WIDTHS if m % 2 == 0 and m > 2}
    cuts |= {(pattern.m, pattern.width) for pattern in more}
    tables = {cut: np.zeros(cut[0] // cut[1] + 1, np.int64) for cut in cuts if width % cut[0] == 0}
    total = nonfinite = live_rows = 0
    columns = np.zeros(rows_shape(shape)[1], dtype=np.int64)
    for part in in_chunks(*rows_shape(shape)):
        kept = kept_rows(weight, part)
        nonfinite += _count_nonfinite(weight, part)
        total += int(np.count_nonzero(kept.view(np.bool_)))
        for start in range(0, len(kept), 255):  # the most that a byte can count
            columns += np.add.reduce(kept[start : start + 255], axis=0, dtype=np.uint8)
        live_rows += int(np.count_nonzero(kept.any(axis=1)))
        _add(tables, kept, width)
    plain = {cut: tuple(map(int, tables[cut])) for cut in sorted(tables)}
    blocks = {m: counted for (m, w), counted in plain.items() if w == 1}
    groups = {cut: counted for cut, counted in plain.items() if cut[1] > 1}
    return BlockCounts(total, nonfinite, blocks, columns, live_rows, groups)


def _count_nonfinite(weight: Tensor, part: slice) -> int:
    """How many values are NaN or infinite. A sum shows at little cost whether any is."""
    import torch

    some = weight[part]
    if not some.dtype.is_floating_point:
        return 0
    narrow = some.element_size() == 1
    if not narrow and bool(torch.isfinite(some.sum())):
        return 0
    return int(np.count_nonzero(~np.isfinite(as_floats(weight_rows(weight, part)))))


def _add(tables: dict[Cut, Table], kept: Kept, width: int) -> None:
    """Add the counts of some rows."""
    counts: dict[Cut, Counts] = {(1, 1): kept}
    if width % 8 == 0:
        packed = np.packbits(kept, axis=1)
        octets = np.bincount(packed.ravel(), minlength=256)
        for cut, table in _TABLES.items():
            tables[cut] += octets @ table
        counts[8, 1] = np.bitwise_count(packed)
        counts[8, 2] = np.bitwise_count((packed | packed >> 1) & 0b01010101)
    for m, of in sorted(tables):
        if (m, of) in _TABLES and width % 8 == 0:
            continue
        known = max((k for k, w in counts if w == of and m % k == 0), default=0)
        if not known:
            known = of
            counts[of, of] = group_flags(kept, of)
        wide = counts[known, of]
        counts[m, of] = block_counts(wide.astype(np.uint16) if m > 255 else wide, m // known)
        for n in range(m // of + 1):
            tables[m, of][n] += np.count_nonzero(counts[m, of] == n)


def _table(m: int, of: int) -> Table:
    """(256, M / of + 1): how many of the 8 / M blocks in each byte keep how many groups."""
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)
    counted = bits.reshape(256, 8 // m, m // of, of).any(axis=3).sum(axis=2)
    return np.stack([(counted == n).sum(axis=1) for n in range(m // of + 1)], axis=1)


_TABLES = {(m, of): _table(m, of) for m, of in ((2, 1), (4, 1), (8, 1), (4, 2), (8, 2))}
