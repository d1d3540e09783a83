"""A weight as the matrices that its module multiplies by, and the inputs as their columns.

A product of a module is y = W x for every token x: a row of a Linear's input, or the patch under
one output position of a convolution. Columns of W, and values of x, are in the order in which
``Pattern.to_blocks`` divides the flattened weight: kernel position by kernel position, in each the
input channels, so that the M weights of a block are consecutive.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lbc.sparsity.calibration.convolution_windows import Windows
from lbc.sparsity.weight_sites import (
    ATTENTION_WEIGHTS,
    CONVOLUTIONS,
    TRANSPOSED,
    Site,
    is_transformers_conv1d,
)

CHUNK_VALUES = 1 << 24
"""Values of unfolded inputs held at a time: 64 MiB as float32."""


def to_matrices(weight: Tensor, parts: int) -> Tensor:
    """(O, I, *kernel) → (parts, O/parts, columns), columns = kernel positions × I."""
    out, width, *kernel = weight.shape
    rows = weight.reshape(out, width, prod(kernel)).transpose(1, 2)
    return rows.reshape(parts, out // parts, prod(kernel) * width)


def from_matrices(matrices: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The inverse of ``to_matrices``: contiguous, of ``shape``."""
    out, width, *kernel = shape
    rows = matrices.reshape(out, prod(kernel), width)
    return rows.transpose(1, 2).reshape(shape).contiguous()


def unobservable(module: nn.Module, site: Site) -> str:
    """Why the inputs that a module multiplies by a weight cannot be seen, or ""."""
    known = (nn.Linear, *CONVOLUTIONS, *TRANSPOSED)
    if site.tensor == "weight" and (isinstance(module, known) or is_transformers_conv1d(module)):
        return ""
    if site.tensor in ATTENTION_WEIGHTS and isinstance(module, nn.MultiheadAttention):
        return ""
    return f"the weight of a module {type(module).__name__} multiplies no input that is seen"


def input_parts(
    module: nn.Module, tensor: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> list[Tensor]:
    """The inputs of a call of ``module``, one for each of the matrices of the weight ``tensor``.

    A grouped convolution has one for each group, ``in_proj_weight`` of a MultiheadAttention one for
    query, key and value unless they are the same tensor. The first dimension counts samples.
    """
    if isinstance(module, nn.MultiheadAttention):
        return _attention_inputs(module, tensor, args, kwargs)
    given = args[0] if args else next(iter(kwargs.values()))
    assert isinstance(given, Tensor)
    if isinstance(module, CONVOLUTIONS + TRANSPOSED):
        batch = given if given.ndim == len(module.kernel_size) + 2 else given[None]
        return list(batch.chunk(module.groups, dim=1))
    return [given if given.ndim > 1 else given[None]]


def _attention_inputs(
    module: nn.MultiheadAttention, tensor: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> list[Tensor]:
    named = dict(zip(("query", "key", "value"), args, strict=False)) | dict(kwargs)
    inputs = [named[name] for name in ("query", "key", "value")]
    if tensor != "in_proj_weight":
        inputs = [named[tensor.partition("_")[0].translate(_PROJECTED)]]
    elif inputs[0] is inputs[1] is inputs[2]:
        inputs = inputs[:1]
    batched = [one if one.ndim == 3 else one[None] for one in inputs]
    if module.batch_first or inputs[0].ndim == 2:
        return batched
    return [one.transpose(0, 1) for one in batched]


_PROJECTED = str.maketrans({"q": "query", "k": "key", "v": "value"})


def tokens(module: Any, part: Tensor) -> Iterator[Tensor]:
    """What a module multiplies, some samples at a time: (samples, …) → (tokens, columns)."""
    if not isinstance(module, CONVOLUTIONS + TRANSPOSED):
        width = part.shape[-1]
        yield from torch.split(part.reshape(-1, width), max(1, CHUNK_VALUES // width))
        return
    kernel = prod(module.kernel_size)
    size = max(1, CHUNK_VALUES // max(1, part[:1].numel() * kernel))
    for samples in torch.split(part, size):
        yield _patches(module, samples).reshape(-1, part.shape[1] * kernel)


def gram_chunks(module: Any, part: Tensor) -> Iterator[Tensor | Windows]:
    """``tokens`` in the form in which a Gram matrix takes least time."""
    if not isinstance(module, CONVOLUTIONS) or {*module.stride} != {1}:
        yield from tokens(module, part)
        return
    size = max(1, CHUNK_VALUES // max(1, part[:1].numel()))
    for start in range(0, len(part), size):
        images = _padded(module, part[start : start + size]).movedim(1, -1).contiguous()
        yield Windows(images, module.kernel_size, module.dilation)


def _patches(module: Any, images: Tensor) -> Tensor:
    """The patch under every output position: (B, C, *in) → (B, *out, *kernel, C)."""
    axes = range(2, images.ndim)
    strides = module.stride
    if isinstance(module, TRANSPOSED):
        images, strides = _spread(module, images), [1] * len(axes)
    else:
        images = _padded(module, images)
    for axis, size, stride, dilation in zip(
        axes, module.kernel_size, strides, module.dilation, strict=True
    ):
        images = images.unfold(axis, dilation * (size - 1) + 1, stride)[..., ::dilation]
    if isinstance(module, TRANSPOSED):
        images = images.flip([axis + len(axes) for axis in axes])
    return images.movedim(1, -1)


def _padded(module: Any, images: Tensor) -> Tensor:
    mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
    return F.pad(images, module._reversed_padding_repeated_twice, mode=mode)


def _spread(module: Any, images: Tensor) -> Tensor:
    """The input of a transposed convolution as that of the convolution which it equals.

    Zeros are put between the values for its stride, and around them for its kernel; the kernel is
    flipped.
    """
    padding: list[int] = []
    for axis in range(2, images.ndim):
        own = axis - 2
        shape = list(images.shape)
        shape[axis] = (shape[axis] - 1) * module.stride[own] + 1
        spread = images.new_zeros(shape)
        spread[(slice(None),) * axis + (slice(None, None, module.stride[own]),)] = images
        images = spread
        around = module.dilation[own] * (module.kernel_size[own] - 1) - module.padding[own]
        padding = [around, around + module.output_padding[own], *padding]
    return F.pad(images, padding)
