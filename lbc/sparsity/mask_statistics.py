"""What a mask says in numbers: winners, dead channels, flips, magnitude, agreement. Pure torch.

A mask is bool and shaped like its weight, (O, I/groups, *kernel), true where a weight is kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lbc.sparsity.live_sets import keep_best, unpack
from lbc.sparsity.pattern import Pattern

CHUNK_CELLS = 1 << 22
"""Live bits written out at a time: 4 MiB as bools, 16 MiB in float32."""


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


def mask_of_winners(winners: Tensor, pattern: Pattern, shape: tuple[int, ...]) -> Tensor:
    """The mask once each block holds its winner alone: int (blocks,) → bool of ``shape``.

    Raises ValueError where C is above ``lbc.sparsity.pattern.LARGEST_COUNT``.
    """
    held = pattern.members[winners.long()]
    blocks = torch.zeros((len(winners), pattern.m), dtype=torch.bool)
    return pattern.from_blocks(blocks.scatter_(1, held, value=True), shape)


def mask_of_live(packed: Tensor, pattern: Pattern, shape: tuple[int, ...]) -> Tensor:
    """The mask of a live set: every position that some live combination of its block holds.

    ``packed``: uint8 (blocks, ⌈C / 8⌉) as ``live_sets.pack`` makes it, or one row that stands for
    all blocks. The result is bool of ``shape``.
    """
    incidence = pattern.combinations.float()
    rows = max(1, CHUNK_CELLS // pattern.count)
    parts = (packed[first : first + rows] for first in range(0, len(packed), rows))
    kept = [unpack(part, pattern.count).float() @ incidence > 0 for part in parts]
    blocks = torch.cat(kept)
    if len(blocks) == 1:
        blocks = blocks.expand(torch.Size(shape).numel() // pattern.m, -1)
    return pattern.from_blocks(blocks, shape)


def winner_counts(winners: Tensor, pattern: Pattern) -> Tensor:
    """How many blocks each combination has won: int (blocks,) → int64 (C,)."""
    return torch.bincount(winners.long(), minlength=pattern.count)


def uniform_expectation(blocks: int, pattern: Pattern) -> tuple[float, float]:
    """Mean and standard deviation of each count, were every block's winner drawn at random.

    The counts are multinomial: mean blocks / C, variance blocks · (1 / C) · (1 − 1 / C).
    """
    share = 1 / pattern.count
    return blocks * share, (blocks * share * (1 - share)) ** 0.5


def kept_at_positions(counts: Tensor, pattern: Pattern) -> Tensor:
    """In how many blocks the winner holds each position: int64 (C,) → int64 (M,).

    Were winners drawn at random, blocks · N / M would be expected everywhere.
    """
    won = counts.nonzero().flatten()
    members = pattern.members[won]
    weights = counts[won, None].expand_as(members)
    total = torch.zeros(pattern.m, dtype=torch.int64)
    return total.scatter_add_(0, members.flatten(), weights.flatten())


def dead_outputs(mask: Tensor) -> Tensor:
    """Output channels that keep no weight at all: int64 indices, ascending."""
    return (~mask.flatten(1).any(dim=1)).nonzero().flatten()


def dead_inputs(mask: Tensor) -> Tensor:
    """Columns of the second dimension that no output reads: int64 indices, ascending.

    In a layer without groups these are input channels; with groups, a column stands for one
    channel of every group.
    """
    return (~mask.movedim(1, 0).flatten(1).any(dim=1)).nonzero().flatten()


def flips(before: Tensor, after: Tensor) -> Flips:
    """Where two masks differ, counted. Raises ValueError where their shapes do."""
    _same_shape(before, after)
    return Flips(int((after & ~before).sum()), int((before & ~after).sum()), before.numel())


def magnitude_mask(weight: Tensor, pattern: Pattern) -> Tensor:
    """The N largest |w| of every block, ties to the earlier position: bool like the weight.

    NaN counts as the largest. Raises ValueError where M does not divide the input width.
    """
    size = pattern.to_blocks(weight.detach().abs().nan_to_num(nan=torch.inf, posinf=torch.inf))
    return pattern.from_blocks(keep_best(size, pattern.n), weight.shape)


def differs_from_magnitude(mask: Tensor, weight: Tensor, pattern: Pattern) -> Tensor:
    """Where a mask keeps or drops what magnitude would not: bool like the weight.

    ``weight`` is the dense one below the mask. Raises ValueError where the shapes differ or M does
    not divide the input width.
    """
    _same_shape(mask, weight)
    return mask ^ magnitude_mask(weight, pattern)


def agreement(first: Tensor, second: Tensor, pattern: Pattern) -> Agreement:
    """How alike two masks of one layer are, beside what chance would give.

    Two independent N:M masks agree at a position with probability d² + (1 − d)², d = N / M, and in
    a whole block with 1 / C. Raises ValueError where the shapes differ, hold nothing, or M does not
    divide the input width.
    """
    _same_shape(first, second)
    if not first.numel():
        raise ValueError("Masks without elements cannot agree or differ: compare other layers.")
    same = pattern.to_blocks(first == second)
    density = pattern.density
    return Agreement(
        positions=int(same.sum()) / same.numel(),
        blocks=int(same.all(dim=1).sum()) / len(same),
        chance_positions=density**2 + (1 - density) ** 2,
        chance_blocks=1 / pattern.count,
    )


def _same_shape(first: Tensor, second: Tensor) -> None:
    if first.shape != second.shape:
        raise ValueError(
            f"A mask of shape {tuple(first.shape)} cannot be held against one of shape "
            f"{tuple(second.shape)}: compare the same layer of the same network."
        )
