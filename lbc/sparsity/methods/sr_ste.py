"""SR-STE: the largest magnitudes of every block, chosen anew in every step.

Zhou et al., "Learning N:M Fine-grained Structured Sparse Neural Networks From Scratch", ICLR 2021.
Forward W̃ = b ⊙ W with b = top-N |w| of the present weights; backward straight through, with a pull
on what is masked: g = ∂L/∂W̃ + λ (1 − b) ⊙ W, λ = 2·10⁻⁴. The pull is part of the gradient, so it
enters the momentum.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from lbc.sparsity.magnitude_layer import RecomputedLayer
from lbc.sparsity.method_options import Form
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.sparse_layer import SparseLayer
from lbc.sparsity.straight_through import PULL, straight_through


class SrSteLayer(RecomputedLayer):
    """W̃ = b ⊙ W with the gradient straight through and a pull on masked weights."""

    @property
    def pull(self) -> float:
        """λ."""
        return PULL

    def forward(self, weight: Tensor) -> Tensor:
        return self.straight_through(weight, self.recomputed(weight))

    def straight_through(self, weight: Tensor, mask: Tensor) -> Tensor:
        """b ⊙ W for the bool or byte mask b, with the gradient of the class."""
        return straight_through(weight, weight.detach() * mask, pull=self.pull)


class OwnPullLayer(SrSteLayer):
    """A layer of a method with the option ``pull``."""

    @property
    def pull(self) -> float:
        options: Any = self.options
        return float(options.pull)


def attach(name: str, weight: Tensor, pattern: Pattern, _form: Form, /) -> SparseLayer:
    """A layer whose mask follows its weights."""
    return SrSteLayer(name, weight, pattern)
