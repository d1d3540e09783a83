"""Detection of the N:M pattern of a weight from its zeros."""

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
"""The values of M that are tested."""

MIN_FULL_SHARE = 0.5
"""An N:M is intentional if at least this fraction of the blocks keeps exactly N weights."""

MAX_VIOLATION_SHARE = 0.1
"""At most this fraction of the blocks may violate an N:M that is detected."""

MIN_DENSE_DENSITY = 0.99
"""Trained weights are rarely zero by chance, so that above this density nothing was pruned."""


@dataclass(frozen=True)
class Detection:
    """The zeros of one weight (O, I, *kernel), counted per block.

    ``blocks[M][k]`` is the number of blocks of M that keep exactly k weights, for every tested M
    that divides the input width. Everything else follows from it:

    - ``obeyed``: for each M, the smallest N that holds in *every* block. N:M implies 2N:2M.
    - ``strictest``: the one of lowest density N/M, and among equals the one of smallest M, because
      it implies the others: 2:4 rather than 4:8.
    - ``pattern``: the N:M the weight was pruned to, or None. Any layer with zeros obeys some N:M by
      chance, such as 29:32, but after pruning most blocks are full. ``pattern`` is therefore
      ``strictest`` if a fraction ``MIN_FULL_SHARE`` of its blocks keeps exactly N, otherwise the
      strictest such N:M that at most ``MAX_VIOLATION_SHARE`` of the blocks violate.
    - ``headline``: ``pattern`` as text, or "dense", "unstructured", "all zero".
    """

    shape: tuple[int, ...]
    kept: int
    blocks: dict[int, tuple[int, ...]]

    @property
    def weights(self) -> int:
        return prod(self.shape)

    @property
    def density(self) -> float:
        """The fraction of nonzero weights."""
        return self.kept / self.weights

    @cached_property
    def obeyed(self) -> tuple[Pattern, ...]:
        """For each M, the smallest N that holds in every block, if it is below M."""
        return tuple(Pattern(max(1, n), m) for m in self.blocks if (n := self._smallest(m, 0)) < m)

    @cached_property
    def independent(self) -> tuple[Pattern, ...]:
        """The obeyed patterns that no other implies, as 2:4 implies 4:8."""
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
        """The N:M the weight was pruned to."""
        if not self.kept:
            return None
        strictest = self.strictest
        if strictest is not None and self._full_share(strictest) >= MIN_FULL_SHARE:
            return strictest
        nearly = [
            Pattern(max(1, n), m)
            for m in self.blocks
            if (n := self._smallest(m, MAX_VIOLATION_SHARE)) < m
        ]
        full = [pattern for pattern in nearly if self._full_share(pattern) >= MIN_FULL_SHARE]
        return min(full, key=_strictness, default=None)

    @cached_property
    def headline(self) -> str:
        """``2:4``, ``2:4 except 3 blocks``, ``dense``, ``unstructured`` or ``all zero``."""
        if not self.kept:
            return "all zero"
        if self.pattern is None:
            return "dense" if self.density > MIN_DENSE_DENSITY else "unstructured"
        count = self.count_violations(self.pattern) or 0
        blocks = "block" if count == 1 else "blocks"
        return f"{self.pattern} except {count:,} {blocks}" if count else str(self.pattern)

    def count_violations(self, pattern: Pattern) -> int | None:
        """The number of blocks that keep more than N weights; None if this M was not counted."""
        counted = self.blocks.get(pattern.m)
        return None if counted is None else sum(counted[pattern.n + 1 :])

    def _smallest(self, m: int, share: float) -> int:
        """The smallest N that at most a fraction ``share`` of the blocks of M violates."""
        counted = self.blocks[m]
        total = above = sum(counted)
        for n, blocks in enumerate(counted):
            above -= blocks
            if above <= share * total:
                return n
        return m

    def _full_share(self, pattern: Pattern) -> float:
        counted = self.blocks[pattern.m]
        return counted[pattern.n] / sum(counted)


def detect(kept: Kept, shape: tuple[int, ...], more: Sequence[int] = ()) -> Detection:
    """Count the blocks by the weights they keep, for each M in ``WIDTHS`` and ``more``.

    ``kept`` (O, kernel · I) is 1 for each nonzero weight; ``shape`` is that of the weight.
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
    """Detect the pattern of a weight (O, I, *kernel)."""
    return detect(kept_rows(weight), tuple(weight.shape), more)


def _implies(one: Pattern, other: Pattern) -> bool:
    return other.m % one.m == 0 and one.n * (other.m // one.m) <= other.n


def _strictness(pattern: Pattern) -> tuple[float, int]:
    return pattern.density, pattern.m
