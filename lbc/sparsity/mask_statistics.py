"""What a mask says in numbers: winners, dead channels, flips, magnitude, agreement.

A mask is bool and shaped like its weight, ``(O, I/groups, *kernel)``, true where a weight is kept.
Masks, weights and winners may be arrays or tensors; what is returned are arrays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lbc.sparsity.arrays import Array, ArrayOrTensor, Bools, Indices, as_array
from lbc.sparsity.combinations import largest, row_counts
from lbc.sparsity.pattern import Pattern


@dataclass(frozen=True)
class Flips:
    """How many positions differ between two masks of one shape, and in which direction."""

    switched_on: int
    switched_off: int
    positions: int

    @property
    def count(self) -> int:
        return self.switched_on + self.switched_off

    @property
    def share(self) -> float:
        """Of all positions; 0 where there are none."""
        return self.count / self.positions if self.positions else 0.0


@dataclass(frozen=True)
class Agreement:
    """Shares of equal positions and of blocks equal in all their positions.

    ``chance_*`` is what two independent masks, uniform over the C combinations, would reach.
    """

    positions: float
    blocks: float
    chance_positions: float
    chance_blocks: float

    @property
    def kappa(self) -> float:
        """Cohen's κ of the positions: 1 for equal masks, 0 if they agree as much as by chance.

        Many runs at once: ``lbc.comparison.mask_agreement``.
        """
        return (self.positions - self.chance_positions) / (1 - self.chance_positions)


def winner_counts(winners: ArrayOrTensor, pattern: Pattern) -> Indices:
    """How many blocks each combination has won: int (blocks,) → int64 (C,)."""
    return np.bincount(as_array(winners), minlength=pattern.count)


def uniform_expectation(blocks: int, pattern: Pattern) -> tuple[float, float]:
    """Mean and standard deviation of each count, were every block's winner drawn at random.

    The counts are multinomial: mean blocks / C, variance blocks · (1 / C) · (1 − 1 / C).
    """
    share = 1 / pattern.count
    return blocks * share, (blocks * share * (1 - share)) ** 0.5


def kept_at_positions(counts: ArrayOrTensor, pattern: Pattern) -> Indices:
    """In how many blocks the winner holds each position: int64 (C,) → int64 (M,).

    Were winners drawn at random, blocks · N / M would be expected everywhere.
    """
    blocks_won = as_array(counts)
    won = blocks_won.nonzero()[0]
    total = np.zeros(pattern.m, np.int64)
    np.add.at(total, pattern.member_array[won], blocks_won[won, np.newaxis])
    return total


def dead_outputs(mask: ArrayOrTensor) -> Indices:
    """Output channels that keep no weight at all: int64 indices, ascending."""
    kept = as_array(mask)
    return np.flatnonzero(~kept.any(axis=tuple(range(1, kept.ndim))))


def dead_inputs(mask: ArrayOrTensor) -> Indices:
    """Columns of the second dimension that no output reads: int64 indices, ascending.

    In a layer without groups these are input channels; with groups, a column stands for one
    channel of every group.
    """
    kept = as_array(mask)
    return np.flatnonzero(~kept.any(axis=(0, *range(2, kept.ndim))))


def flips(before: ArrayOrTensor, after: ArrayOrTensor) -> Flips:
    """Where two masks differ, counted. Raises ValueError where their shapes do."""
    old, new = _of_one_shape(before, after)
    return Flips(int((new & ~old).sum()), int((old & ~new).sum()), old.size)


def magnitude_mask(weight: ArrayOrTensor, pattern: Pattern) -> Bools:
    """The N largest magnitudes of every block, or groups by their sums, ties to the earlier.

    NaN counts as the largest. Raises ValueError where M does not divide the input width.
    """
    size = np.nan_to_num(np.abs(as_array(weight)), copy=False, nan=np.inf, posinf=np.inf)
    return pattern.from_blocks(largest(pattern.to_blocks(size), pattern), size.shape)


def agreement(first: ArrayOrTensor, second: ArrayOrTensor, pattern: Pattern) -> Agreement:
    """How alike two masks of one layer are, beside what chance would give.

    Two independent N:M masks agree at a position with probability d² + (1 − d)², d = N / M, and in
    a whole block with 1 / C. Raises ValueError where the shapes differ, hold nothing, or M does not
    divide the input width.
    """
    one, other = _of_one_shape(first, second)
    if not one.size:
        raise ValueError("Masks without elements cannot agree or differ: compare other layers.")
    same = row_counts(pattern.to_blocks(one == other))
    density = pattern.density
    return Agreement(
        positions=int(same.sum()) / one.size,
        blocks=int((same == pattern.m).sum()) / len(same),
        chance_positions=density**2 + (1 - density) ** 2,
        chance_blocks=1 / pattern.count,
    )


def _of_one_shape(first: ArrayOrTensor, second: ArrayOrTensor) -> tuple[Array, Array]:
    if first.shape != second.shape:
        raise ValueError(
            f"A mask of shape {tuple(first.shape)} cannot be compared with one of shape "
            f"{tuple(second.shape)}: compare the same layer of the same network."
        )
    return as_array(first), as_array(second)
