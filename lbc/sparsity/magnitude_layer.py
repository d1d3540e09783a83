"""Layers that choose by magnitude: the score of a combination is Σ|w| over its members."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor, nn

from lbc.sparsity.additive_layer import AdditiveLayer
from lbc.sparsity.largest import largest
from lbc.sparsity.live_sets import LiveSets, is_plain
from lbc.sparsity.pattern import Pattern


class MagnitudeLayer(AdditiveLayer):
    """Scores that are not trained but read off the weights; W̃ = W until decided, b ⊙ W after.

    ``seen`` is the weight as of the last forward pass: the optimiser's own tensor, not a copy.
    """

    def __init__(self, name: str, weight: Tensor, pattern: Pattern) -> None:
        super().__init__(name, weight, pattern)
        self.seen = weight.detach()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self.seen = fn(self.seen)
        return super()._apply(fn, recurse)

    def see(self, weight: Tensor) -> None:
        if is_plain(weight):
            self.seen = weight.detach()

    def score_parameters(self) -> tuple[nn.Parameter, ...]:
        return ()

    def stored_scores(self) -> tuple[Tensor, bool]:
        return self.seen.abs(), True

    def forward(self, weight: Tensor) -> Tensor:
        self.see(weight)
        return weight if self.searching else self.under_fixed_mask(weight)


class RecomputedLayer(MagnitudeLayer):
    """One combination lives in every block: the largest; which one may change with each step.

    ``forward`` of a subclass calls ``recomputed`` for the mask of the present weights.
    """

    def __init__(self, name: str, weight: Tensor, pattern: Pattern) -> None:
        super().__init__(name, weight, pattern)
        self.remove(1)

    @property
    def searching(self) -> bool:
        return True

    def sync_live_sets(self) -> None:
        self.remove(1)

    @torch.inference_mode(False)
    @torch.no_grad()
    def choose(
        self,
        _live: int,
        /,
        _scored: Callable[[int], object] = lambda _: None,
        _weight: Tensor | None = None,
    ) -> tuple[LiveSets, Tensor]:
        """The largest of the present weights."""
        return decided(self.largest(self.seen), self.pattern)

    @torch.no_grad()
    def largest(self, weight: Tensor) -> Tensor:
        """Each block's N largest magnitudes, or groups by Σ|w|: bool, shaped like the weight."""
        return largest(weight, self.pattern)

    def recomputed(self, weight: Tensor) -> Tensor:
        """The mask of the present weight, for its product: bytes, which torch multiplies faster
        than bools, or bools while torch compiles or transforms."""
        self.see(weight)
        mask = self.largest(weight.detach())
        if not is_plain(weight):
            return mask
        self.mask = mask
        return mask.view(torch.uint8)


def choose_largest(weight: Tensor, pattern: Pattern) -> tuple[LiveSets, Tensor]:
    """Live sets of the combination of the largest magnitudes in every block, and their mask."""
    return decided(largest(weight, pattern), pattern)


def decided(mask: Tensor, pattern: Pattern) -> tuple[LiveSets, Tensor]:
    """Live sets of the combination that a mask holds in every block, and the mask."""
    winners = pattern.index_of(pattern.to_blocks(mask)).int()
    return LiveSets(len(winners), pattern.count, mask.device, winners=winners), mask
