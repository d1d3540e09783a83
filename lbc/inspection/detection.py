"""Which N:M a weight obeys, found from its zeros alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from lbc.inspection.rows import Counts, Kept, block_counts, in_chunks, kept_rows
from lbc.sparsity.pattern import Pattern

if TYPE_CHECKING:
    from torch import Tensor

WIDTHS = (2, 4, 8, 16, 32)
"""The M that are tried."""

FULL = 0.5
"""An N:M is no accident where at least this share of the blocks keeps exactly N."""

BROKEN = 0.1
"""Up to this share of the blocks may break an N:M that the others were clearly made for."""

DENSE = 0.99
"""Trained weights are hardly ever zero by themselves: above this density nothing was pruned."""


@dataclass(frozen=True)
class Detection:
    """The zeros of one weight (O, I, *kernel), counted block by block.

    ``blocks[M][k]`` is how many blocks of M keep exactly k weights, for every M that was tried and
    divides the input width. All that is detected follows from it:

    - ``obeyed``: for each M the smallest N that holds in *every* block. N:M implies 2N:2M.
    - ``strictest``: of those the one that allows the lowest density N/M, and among equals the
      one of the smallest M, because it implies the others: 2:4, not 4:8.
    - ``pattern``: the N:M the weight was evidently made for, or None. Every layer with some zeros
      obeys one N:M or another by accident, 29:32 say; in one that was made, most blocks are full.
      So ``pattern`` is ``strictest`` where ``FULL`` of its blocks keep exactly N, else the
      strictest N:M with full blocks that at most ``BROKEN`` of the blocks break: 2:4 but for three
      of them.
    - ``headline``: ``pattern`` in words, or "dense", "unstructured", "all zero".
    """

    shape: tuple[int, ...]
    kept: int
    blocks: dict[int, tuple[int, ...]]

    @property
    def weights(self) -> int:
        return prod(self.shape)

    @property
    def density(self) -> float:
        """The share of weights that are not zero."""
        return self.kept / self.weights

    @cached_property
    def obeyed(self) -> tuple[Pattern, ...]:
        """The smallest N that holds everywhere, for each M where it is below M."""
        return tuple(Pattern(max(1, n), m) for m in self.blocks if (n := self._smallest(m, 0)) < m)

    @cached_property
    def independent(self) -> tuple[Pattern, ...]:
        """What is ``obeyed`` without being implied by another, as 4:8 is by 2:4."""
        return tuple(
            pattern
            for pattern in self.obeyed
            if not any(_implies(other, pattern) for other in self.obeyed if other != pattern)
        )

    @cached_property
    def strictest(self) -> Pattern | None:
        return min(self.obeyed, key=_strictness, default=None)

    @cached_property
    def pattern(self) -> Pattern | None:
        """The N:M the weight was evidently made for."""
        if not self.kept:
            return None
        strictest = self.strictest
        if strictest is not None and self._full(strictest) >= FULL:
            return strictest
        nearly = [
            Pattern(max(1, n), m) for m in self.blocks if (n := self._smallest(m, BROKEN)) < m
        ]
        made = [pattern for pattern in nearly if self._full(pattern) >= FULL]
        return min(made, key=_strictness, default=None)

    @cached_property
    def headline(self) -> str:
        """``2:4``, ``2:4 but for 3 blocks``, ``dense``, ``unstructured`` or ``all zero``."""
        if not self.kept:
            return "all zero"
        if self.pattern is None:
            return "dense" if self.density > DENSE else "unstructured"
        broken = self.broken(self.pattern) or 0
        blocks = "block" if broken == 1 else "blocks"
        return f"{self.pattern} but for {broken:,} {blocks}" if broken else str(self.pattern)

    def broken(self, pattern: Pattern) -> int | None:
        """How many blocks keep more than N; None where this M was not counted."""
        counted = self.blocks.get(pattern.m)
        return None if counted is None else sum(counted[pattern.n + 1 :])

    def _smallest(self, m: int, share: float) -> int:
        """The smallest N that at most a share of the blocks of M breaks."""
        counted = self.blocks[m]
        total = above = sum(counted)
        for n, blocks in enumerate(counted):
            above -= blocks
            if above <= share * total:
                return n
        return m

    def _full(self, pattern: Pattern) -> float:
        counted = self.blocks[pattern.m]
        return counted[pattern.n] / sum(counted)


def detect(kept: Kept, shape: tuple[int, ...], more: Sequence[int] = ()) -> Detection:
    """Count the blocks of ``WIDTHS``, and of each M in ``more``, by what they keep.

    ``kept`` (O, kernel · I) is 1 where the weight of ``shape`` is not zero.
    """
    widths = [m for m in sorted({*WIDTHS, *more}) if shape[1] % m == 0]
    blocks = {m: np.zeros(m + 1, dtype=np.int64) for m in widths}
    total = 0
    for part in in_chunks(*kept.shape):
        total += int(np.count_nonzero(kept[part].view(np.bool_)))
        counts: dict[int, Counts] = {1: kept[part]}
        for m in widths:
            known = max(k for k in counts if m % k == 0)
            if m > np.iinfo(np.uint8).max:
                counts[m] = block_counts(counts[known].astype(np.uint16), m // known)
            else:
                counts[m] = block_counts(counts[known], m // known)
            for n in range(m + 1):
                blocks[m][n] += np.count_nonzero(counts[m] == n)
    return Detection(shape, total, {m: tuple(map(int, counted)) for m, counted in blocks.items()})


def detect_weight(weight: Tensor, more: Sequence[int] = ()) -> Detection:
    """``detect`` for a weight (O, I, *kernel)."""
    return detect(kept_rows(weight), tuple(weight.shape), more)


def _implies(one: Pattern, other: Pattern) -> bool:
    return other.m % one.m == 0 and one.n * (other.m // one.m) <= other.n


def _strictness(pattern: Pattern) -> tuple[float, int]:
    return pattern.density, pattern.m
