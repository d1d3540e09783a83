"""Products with the zeros that stand for weights on the meta device, found without multiplying."""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor
from torch._ops import OpOverload

aten = torch.ops.aten

LARGE: Final = 1 << 20
"""Numbers; a smaller weight is multiplied at once, as any other."""


def zero_product(func: OpOverload, args: tuple[Any, ...]) -> Tensor | None:
    """The result of a product with a large weight of zeros; None for any other operation.

    torch would copy the weight first, which as a view of one zero takes no memory: a layer of
    65,536 × 65,536 takes 17 GB and many seconds.
    """
    packet = func._overloadpacket
    if packet in (aten.mm, aten.addmm) and any(map(_is_one_zero, args[-2:])):
        left, right = args[-2:]
        zeros: Tensor = left.new_zeros(left.shape[0], right.shape[1])
        return zeros if packet is aten.mm else zeros + args[0]
    if packet is aten.convolution and _is_one_zero(args[1]):
        image, weight, bias, stride, padding, dilation, transposed, more, groups = args
        one = (image[:, :1], weight[:1, :1], None, stride, padding, dilation, transposed, more, 1)
        channels = weight.shape[1] * groups if transposed else weight.shape[0]
        zeros = image.new_zeros(image.shape[0], channels, *aten.convolution(*one).shape[2:])
        return zeros if bias is None else zeros + bias.view(-1, *[1] * (zeros.ndim - 2))
    return None


def _is_one_zero(tensor: Tensor) -> bool:
    return tensor.numel() > LARGE and not any(tensor.stride())
