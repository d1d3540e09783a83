"""What the output projection of torch's attention multiplies, which never calls that projection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

OutputProjection = nn.modules.linear.NonDynamicallyQuantizableLinear
"""The class of ``MultiheadAttention.out_proj``, and of nothing else in torch."""


@torch.no_grad()
def attended(
    attention: nn.MultiheadAttention, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Tensor:
    """The input of ``out_proj`` in this call of ``attention``: samples first, (…, embed_dim).

    It is the attention's output with the identity in the projection's place.
    """
    projection = attention.out_proj
    weight = attention.out_proj.weight
    size = attention.embed_dim
    # Without random numbers, which a run in another thread may be drawing.
    identity = nn.utils.skip_init(  # type: ignore[no-untyped-call]
        OutputProjection, size, size, device=weight.device, dtype=weight.dtype
    )
    nn.init.eye_(identity.weight)
    nn.init.zeros_(identity.bias)
    try:
        attention.out_proj = identity
        output: Tensor = attention.forward(*args, **kwargs)[0]  # without the hooks of a call
    finally:
        attention.out_proj = projection
    return output if attention.batch_first or output.ndim == 2 else output.transpose(0, 1)
