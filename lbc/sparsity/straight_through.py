"""Gradients that pass a choice of weights unchanged, with a pull on those not chosen."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

PULL = 2e-4
"""λ of Zhou et al., ICLR 2021."""


def straight_through(
    weight: Tensor, product: Tensor, mask: Tensor | None = None, pull: float = 0
) -> Tensor:
    """The product, with the gradient ∂L/∂W = ∂L/∂W̃ + ``pull`` · (1 − b) ⊙ W.

    ``product`` is computed of the detached weight; ``mask`` is b, for the pull; without it
    the product is b ⊙ W itself. The pull is part of the gradient, so it enters the momentum.
    """
    passed: Tensor = _StraightThrough.apply(weight, product, mask, pull)  # type: ignore[no-untyped-call]
    return passed


class _StraightThrough(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(_weight: Tensor, product: Tensor, _mask: Tensor | None, _pull: float) -> Tensor:
        return product.view_as(product)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], _output: Tensor) -> None:
        weight, product, mask, ctx.pull = inputs
        if ctx.pull:
            ctx.save_for_backward(weight, product if mask is None else mask)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        if ctx.pull:
            weight, kept = ctx.saved_tensors
            kept = kept if kept.is_floating_point() else weight * kept
            if torch.compiler.is_compiling():  # where alpha must be the same in all graphs
                grad = grad + (weight - kept) * ctx.pull
            else:
                grad = torch.add(grad, weight - kept, alpha=ctx.pull)
        return grad, None, None, None
