"""The product of a Linear or a convolution whose input gradient uses another weight.

A parametrization gives its module one weight for all purposes, so the module's ``forward`` is
replaced, as a bound method: copies of the module have it too.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear
from torch.nn.utils import parametrize

from lbc.sparsity.weight_sites import CONVOLUTIONS

aten = torch.ops.aten

PRODUCTS = (nn.Linear, *CONVOLUTIONS)


def product_groups(module: Any, layer: nn.Module) -> int:
    """In how many groups a product that can be replaced has its outputs; 0 for any other.

    Subclasses that compute something else are none, nor is what already has another ``forward``,
    nor the output projection of attention, whose weight attention reads without calling it.
    """
    kind = next((kind for kind in PRODUCTS if isinstance(module, kind)), None)
    plain = (
        kind is not None
        and not isinstance(module, NonDynamicallyQuantizableLinear)
        and type(module).forward is kind.forward
        and getattr(type(module), "_conv_forward", None) is getattr(kind, "_conv_forward", None)
        and "forward" not in vars(module)
        and parametrize.is_parametrized(module, "weight")
        and module.parametrizations.weight[0] is layer
    )
    return getattr(module, "groups", 1) if plain else 0


def replace_product(module: Any) -> None:
    """Compute the input's gradient with ``backward_weight(W̃)`` of the weight's layer.

    Outputs and the gradients of weight and bias are those of the module itself.
    """
    module.forward = MethodType(_forward, module)


def restore_product(module: nn.Module) -> None:
    """Give the module its own ``forward`` back."""
    if getattr(vars(module).get("forward"), "__func__", None) is _forward:
        del module.forward


def _forward(self: Any, input: Tensor) -> Tensor:
    if not (torch.is_grad_enabled() and input.requires_grad):
        output: Tensor = type(self).forward(self, input)
        return output
    weight = self.weight
    other = self.parametrizations.weight[0].backward_weight(weight.detach())
    tensors = [input, weight, self.bias, other]
    if torch.is_autocast_enabled(input.device.type):
        kind = torch.get_autocast_dtype(input.device.type)
        tensors = [None if tensor is None else tensor.to(kind) for tensor in tensors]
    if isinstance(self, nn.Linear):
        return _Linear.apply(*tensors)  # type: ignore[no-untyped-call, no-any-return]
    return _convolve(self, *tensors)


def _convolve(
    module: Any, input: Tensor, weight: Tensor, bias: Tensor | None, other: Tensor
) -> Tensor:
    sides, padding = module._reversed_padding_repeated_twice, module.padding
    uneven = sides[::2] != sides[1::2]
    if isinstance(padding, str):
        padding = tuple(sides[-2::-2])
    if module.padding_mode != "zeros" or uneven:
        mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
        input, padding = F.pad(input, sides, mode), (0,) * len(padding)
    settings = (module.stride, padding, module.dilation, module.groups)
    batched = input.ndim == weight.ndim
    images = input if batched else input[None]
    output: Tensor = _Convolution.apply(  # type: ignore[no-untyped-call]
        images, weight, bias, other, *settings
    )
    return output if batched else output[0]


class _Linear(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(input: Tensor, weight: Tensor, bias: Tensor | None, other: Tensor) -> Tensor:
        return F.linear(input, weight, bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0], inputs[3])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        input, other = ctx.saved_tensors
        needs_input, needs_weight, needs_bias, _ = ctx.needs_input_grad
        rows = grad.reshape(-1, grad.shape[-1])
        return (
            grad @ other if needs_input else None,
            rows.T @ input.reshape(-1, input.shape[-1]) if needs_weight else None,
            rows.sum(0) if needs_bias else None,
            None,
        )


class _Convolution(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(
        input: Tensor, weight: Tensor, bias: Tensor | None, other: Tensor,
        stride: Any, padding: Any, dilation: Any, groups: int,
    ) -> Tensor:  # fmt: skip
        return _convolution(input, weight, bias, (stride, padding, dilation, groups))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0], inputs[3])
        stride, padding, dilation, groups = inputs[4:]
        ctx.settings = (stride, padding, dilation, False, (0,) * len(stride), groups)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        input, other = ctx.saved_tensors
        needs_input, needs_weight, needs_bias = ctx.needs_input_grad[:3]
        given = (grad, input, other, [other.shape[0]], *ctx.settings)
        # The weight's values do not enter its own gradient, so either weight gives its shape.
        to_input, _, _ = aten.convolution_backward(*given, (needs_input, False, False))
        _, to_weight, to_bias = aten.convolution_backward(*given, (False, needs_weight, needs_bias))
        return to_input, to_weight, to_bias, *[None] * 5


def _convolution(input: Tensor, weight: Tensor, bias: Tensor | None, settings: Any) -> Tensor:
    stride, padding, dilation, groups = settings
    return torch.convolution(
        input, weight, bias, stride, padding, dilation, False, (0,) * len(stride), groups
    )
