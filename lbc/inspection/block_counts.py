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
    in_chunks,
    kept_rows,
    rows_shape,
    weight_rows,
)

if TYPE_CHECKING:
    from torch import Tensor

WIDTHS = (2, 4, 8, 16, 32)
"""The values of M that are always counted."""

Table = npt.NDArray[np.int64]


@dataclass(frozen=True)
class BlockCounts:
    """The zeros of one weight (O, I, *kernel).

    ``blocks[M][k]`` is the number of blocks of M that keep exactly k weights, for every counted M
    that divides the input width; ``columns`` (kernel · I) the number of weights kept in each column
    of the rows; ``rows`` the number of rows that are not all zero.
    """

    kept: int
    nonfinite: int
    blocks: dict[int, tuple[int, ...]]
    columns: npt.NDArray[np.int64] = field(compare=False)
    rows: int

    def live_columns(self, m: int, most: float) -> tuple[int, ...]:
        """How many blocks of one row have k columns with more than ``most`` weights, for each k."""
        live = (self.columns > most).reshape(-1, m).sum(axis=1)
        return tuple(map(int, np.bincount(live, minlength=m + 1)))


def count_blocks(weight: Tensor, more: Sequence[int] = ()) -> BlockCounts:
    """Count for each M in ``WIDTHS`` and ``more``."""
    shape = tuple(weight.shape)
    width = shape[1]
    widths = [m for m in sorted({*WIDTHS, *more}) if width % m == 0]
    blocks = {m: np.zeros(m + 1, dtype=np.int64) for m in widths}
    total = nonfinite = live_rows = 0
    columns = np.zeros(rows_shape(shape)[1], dtype=np.int64)
    for part in in_chunks(*rows_shape(shape)):
        kept = kept_rows(weight, part)
        nonfinite += _count_nonfinite(weight, part)
        total += int(np.count_nonzero(kept.view(np.bool_)))
        for start in range(0, len(kept), 255):  # the most that a byte can count
            columns += np.add.reduce(kept[start : start + 255], axis=0, dtype=np.uint8)
        live_rows += int(np.count_nonzero(kept.any(axis=1)))
        _add(blocks, kept, width)
    plain = {m: tuple(map(int, counted)) for m, counted in blocks.items()}
    return BlockCounts(total, nonfinite, plain, columns, live_rows)


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


def _add(blocks: dict[int, Table], kept: Kept, width: int) -> None:
    """Add the counts of some rows."""
    counts: dict[int, Counts] = {1: kept}
    if width % 8 == 0:
        packed = np.packbits(kept, axis=1)
        bytes_ = np.bincount(packed.ravel(), minlength=256)
        for m in (2, 4, 8):
            blocks[m] += bytes_ @ _TABLES[m]
        counts[8] = np.bitwise_count(packed)
    for m in blocks:
        if m <= 8 and m in _TABLES and width % 8 == 0:
            continue
        known = max(k for k in counts if m % k == 0)
        wide = counts[known].astype(np.uint16) if m > np.iinfo(np.uint8).max else counts[known]
        counts[m] = block_counts(wide, m // known)
        for n in range(m + 1):
            blocks[m][n] += np.count_nonzero(counts[m] == n)


def _table(m: int) -> Table:
    """(256, M + 1): how many of the 8 / M blocks in each byte keep how many weights."""
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)
    counted = bits.reshape(256, 8 // m, m).sum(axis=2)
    return np.stack([(counted == n).sum(axis=1) for n in range(m + 1)], axis=1)


_TABLES = {m: _table(m) for m in (2, 4, 8)}
