"""Layers that choose by magnitude: the score of a combination is Σ|w| over its members."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

from torch import Tensor, nn

from lbc.sparsity.additive_layer import AdditiveLayer
from lbc.sparsity.live_sets import is_plain
from lbc.sparsity.pattern import Pattern


class MagnitudeLayer(AdditiveLayer):
    """Scores that are not trained but read off the weights.

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
