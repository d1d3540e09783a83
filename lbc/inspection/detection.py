"""Detection of the N:M pattern of a weight from its zeros."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import log, prod
from typing import TYPE_CHECKING

from lbc.inspection.block_counts import BlockCounts, count_blocks
from lbc.inspection.evidence import log_chance, log_choose
from lbc.sparsity.pattern import Pattern

if TYPE_CHECKING:
    from torch import Tensor

MIN_FULL_SHARE = 0.5
"""An N:M is intentional if at least this fraction of the blocks keeps exactly N weights."""

MAX_VIOLATION_SHARE = 0.1
"""At most this fraction of the blocks may violate an N:M that is detected."""

MIN_DENSE_DENSITY = 0.99
"""Trained weights are rarely zero by chance, so that above this density nothing was pruned."""

LARGEST_CHANCE = 1e-4
"""An N:M is detected only if random zeros would obey any of those tested less often than this."""

MIN_REGULAR = 4
"""Channels that are zero in the same places of so many blocks were chosen block by block."""

SMALLEST = 64
"""With fewer weights than this, zeros say nothing."""

TOO_SMALL = "too small to tell"


@dataclass(frozen=True)
class Detection:
    """The zeros of one weight (O, I, *kernel), counted per block. Everything follows from them:

    - ``obeyed``: for each M, the smallest N that holds in *every* block. N:M implies 2N:2M, and
      2:4 implies 4:6.
    - ``strictest``: the one of lowest density N/M, and among equals the one of smallest M, because
      it implies the others: 2:4 rather than 4:8.
    - ``pattern``: the N:M the weight was pruned to, or None. Any layer with zeros obeys some N:M by
      chance, such as 29:32, but after pruning most blocks are full. ``pattern`` is therefore
      ``strictest`` if a fraction ``MIN_FULL_SHARE`` of its blocks keeps exactly N, otherwise the
      strictest such N:M that at most ``MAX_VIOLATION_SHARE`` of the blocks violate; and only if
      zeros at random would hardly lead to it. It is one of pairs, 4:8x2, if its weights are kept
      in pairs, which masks of 4:8 at random hardly are.
    - ``headline``: ``pattern`` as text, or "dense", "unstructured", "all zero", "zero channels",
      "too small to tell".
    """

    shape: tuple[int, ...]
    counts: BlockCounts

    @property
    def blocks(self) -> dict[int, tuple[int, ...]]:
        return self.counts.blocks

    @property
    def weights(self) -> int:
        return prod(self.shape)

    @property
    def density(self) -> float:
        """The fraction of nonzero weights."""
        return self.counts.kept / self.weights

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
        found = next(filter(self._is_evident, self._candidates), None)
        return found if found is None or not self._is_paired(found) else replace(found, width=2)

    @cached_property
    def _candidates(self) -> list[Pattern]:
        """Every N:M that the weight may have been pruned to, the likeliest first."""
        if not self.counts.kept:
            return []
        nearly = [
            Pattern(max(1, n), m)
            for m in self.blocks
            if (n := self._smallest(m, MAX_VIOLATION_SHARE)) < m
        ]
        first = [self.strictest] if self.strictest is not None else []
        ordered = dict.fromkeys([*first, *sorted(nearly, key=_strictness)])
        return [pattern for pattern in ordered if self._full_share(pattern) >= MIN_FULL_SHARE]

    @cached_property
    def headline(self) -> str:
        """``2:4``, ``2:4 except 3 blocks`` or, without a pattern, what the zeros are instead."""
        counts = self.counts
        if not counts.kept:
            return "all zero"
        if self.pattern is not None:
            count = self.count_violations(self.pattern) or 0
            blocks = "block" if count == 1 else "blocks"
            return f"{self.pattern} except {count:,} {blocks}" if count else str(self.pattern)
        if self.density > MIN_DENSE_DENSITY:
            return "dense"
        live = counts.rows * int((counts.columns > 0).sum())
        channels = live < self.weights and counts.kept > MIN_DENSE_DENSITY * live
        if channels and min(self.shape[:2]) > 1 and self.weights >= SMALLEST:
            return "zero channels"
        small = self.weights < SMALLEST
        if small or any(self._log_chance(at) > self._largest_log_chance for at in self._candidates):
            return TOO_SMALL
        return "unstructured"

    def count_violations(self, pattern: Pattern) -> int | None:
        """The number of blocks that keep more than N weights, or groups; None if not counted."""
        counted = self.counts.of(pattern)
        return None if counted is None else sum(counted[pattern.units.n + 1 :])

    @cached_property
    def _largest_log_chance(self) -> float:
        """``LARGEST_CHANCE`` for one of all the N:M that could have been found."""
        return log(LARGEST_CHANCE / max(1, sum(m - 1 for m in self.blocks)))

    def _is_evident(self, pattern: Pattern) -> bool:
        """Whether zeros at random places, or random channels of zeros, would not obey it."""
        if self._log_chance(pattern) > self._largest_log_chance:
            return False
        counts, violations = self.counts, self.count_violations(pattern) or 0
        columns = self._live_columns(pattern)
        regular = columns[pattern.n] == sum(columns) >= MIN_REGULAR
        if regular and 2 * pattern.n <= pattern.m and not self._are_random_channels(pattern):
            return True
        chance = log_chance(pattern, counts.kept, counts.rows, columns, violations)
        return chance <= self._largest_log_chance

    def _are_random_channels(self, pattern: Pattern) -> bool:
        """Whether channels at random would leave N of M in every block, as those of 24 often do.

        By chance with C(M, N)^B / C(inputs, N · B) for B blocks of inputs. Not asked where M is a
        power of two, as in most masks that were made by hand.
        """
        if pattern.m.bit_count() == 1:
            return False
        inputs = self.shape[1]
        blocks = inputs // pattern.m
        chance = blocks * log(pattern.count) - log_choose(inputs, pattern.n * blocks)
        return chance > self._largest_log_chance

    def _live_columns(self, pattern: Pattern) -> tuple[int, ...]:
        """How many blocks of one row have k live columns, for each k."""
        # What violations leave in a column does not make it live; 1:16 has few in every column.
        violations = self.count_violations(pattern) or 0
        most = min(violations, self.counts.rows * pattern.density / 4)
        return self.counts.live_columns(pattern.m, most)

    def _is_paired(self, pattern: Pattern) -> bool:
        """Whether the weights are kept in pairs, which random masks of ``pattern`` would not be.

        A full block is by chance with probability p = C(M/2, N/2) / C(M, N). Not where all rows
        keep the same columns, which were chosen once, not block by block.
        """
        columns = self._live_columns(pattern)
        if pattern.n % 2 or pattern.m % 2 or columns[pattern.n] == sum(columns):
            return False
        pairs = replace(pattern, width=2)
        blocks, violations = sum(self.blocks[pattern.m]), self.count_violations(pairs)
        if violations is None or violations > MAX_VIOLATION_SHARE * blocks:
            return False
        full = self.blocks[pattern.m][pattern.n] - violations
        chance = full * log(pairs.count / pattern.count) + log_choose(blocks, violations)
        return chance <= self._largest_log_chance

    def _log_chance(self, pattern: Pattern) -> float:
        """How likely zeros at random places are to obey an N:M as well as these do."""
        blocks = sum(self.blocks[pattern.m])
        columns = [*(0 for _ in range(pattern.m)), blocks]
        violations = self.count_violations(pattern) or 0
        return log_chance(pattern, self.counts.kept, 1, columns, violations)

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


def detect_weight(weight: Tensor, more: Sequence[Pattern] = ()) -> Detection:
    """Detect the pattern of a weight (O, I, *kernel), counting the blocks of ``more`` too."""
    return Detection(tuple(weight.shape), count_blocks(weight, more))


def _implies(one: Pattern, other: Pattern) -> bool:
    return one.most_in(other.m) <= other.n


def _strictness(pattern: Pattern) -> tuple[float, int]:
    return pattern.density, pattern.m
