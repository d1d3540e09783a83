"""b ⊙ W: a tensor under its mask, as forward and backward passes want it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def masked(values: Tensor, mask: Tensor) -> Tensor:
    """``values`` where ``mask``, bool of the same shape, is true, and zero elsewhere.

    Not differentiable: ``under_mask`` is.
    """
    octets = mask.view(torch.uint8)  # torch converts a byte to a float much faster than a bool
    if values.device.type != "cpu":
        return values * octets
    # A product of float and byte would convert the mask into one more tensor of that size; on a
    # processor, where memory is what a mask costs, converting it into the result halves the time.
    return torch.empty_like(values).copy_(octets).mul_(values)


def under_mask(weight: Tensor, mask: Tensor) -> Tensor:
    """W̃ = b ⊙ W, with ∂L/∂W = b ⊙ ∂L/∂W̃, under a mask that is not trained."""
    product: Tensor = _UnderMask.apply(weight, mask)  # type: ignore[no-untyped-call]
    return product


class _UnderMask(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, mask: Tensor) -> Tensor:
        ctx.save_for_backward(mask)
        return masked(weight, mask)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (mask,) = ctx.saved_tensors
        return masked(grad, mask), None
