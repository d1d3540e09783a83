"""SR-STE: the largest magnitudes of every block, chosen anew in every step.

Zhou et al., "Learning N:M Fine-grained Structured Sparse Neural Networks From Scratch", ICLR 2021.
Forward W̃ = b ⊙ W with b = top-N |w| of the present weights; backward straight through, with a pull
on what is masked: g = ∂L/∂W̃ + λ (1 − b) ⊙ W, λ = 2·10⁻⁴. The pull is part of the gradient, so it
enters the momentum.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lbc.sparsity.magnitude_layer import RecomputedLayer
from lbc.sparsity.method_options import Form
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.sparse_layer import SparseLayer

PULL = 2e-4
"""λ of the paper."""


class SrSteLayer(RecomputedLayer):
    """W̃ = b ⊙ W with the gradient straight through and a pull on masked weights."""

    def forward(self, weight: Tensor) -> Tensor:
        mask = self.recomputed(weight)
        product: Tensor = _StraightThrough.apply(weight, mask)  # type: ignore[no-untyped-call]
        return product


class _StraightThrough(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(weight: Tensor, mask: Tensor) -> Tensor:
        return weight * mask

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0], output)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        weight, product = ctx.saved_tensors
        return torch.add(grad, weight - product, alpha=PULL), None


def attach(name: str, weight: Tensor, pattern: Pattern, _form: Form, /) -> SparseLayer:
    """A layer whose mask follows its weights."""
    return SrSteLayer(name, weight, pattern)
