"""One image of zeros through a model, for what it shows: shapes, calls, errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

CPU = torch.device("cpu")


def trial(model: nn.Module, in_shape: tuple[int, ...]) -> object:
    """What ``model`` puts out for one image of zeros of ``in_shape`` (channels, height, width).

    It is evaluated with its own weights, or with zeros for those on the meta device. The model
    stays as it was.

    Raises ValueError with one sentence where the model cannot take such an image.
    """
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    zeros = {name: _zeros(tensor) for name, tensor in tensors.items() if tensor.is_meta}
    device = next((at.device for at in tensors.values() if not at.is_meta), CPU)
    try:
        # With gradients, since torch's fused transformer layers, which hide the calls inside
        # them, need none.
        with _evaluated(model), torch.enable_grad(), device:  # the caller's own may be meta
            return torch.func.functional_call(model, zeros, (torch.zeros(1, *in_shape),))
    except Exception as error:
        raise ValueError(_sentence(in_shape, error)) from error


def _zeros(tensor: Tensor) -> Tensor:
    """Zeros that take no memory. One image is soon computed, while the meta device, on which
    nothing is, has torch load its compiler first: a few seconds."""
    return torch.zeros((), dtype=tensor.dtype, device=CPU).expand(tensor.shape)


def logits_of(output: object, classes: int) -> str:
    """Why ``output`` of one image is no row of logits for ``classes``; empty where it is."""
    if not isinstance(output, Tensor):
        return f"puts out {type(output).__name__}, where a tensor of logits is needed"
    if tuple(output.shape) != (1, classes):
        shape = "×".join(map(str, output.shape))
        return (
            f"puts out {shape} for one image, where {classes} classes need 1×{classes}: "
            "set their number in model.kwargs"
        )
    return ""


@contextmanager
def _evaluated(model: nn.Module) -> Iterator[None]:
    """In evaluation mode, and afterwards each module in its own again."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _sentence(in_shape: tuple[int, ...], error: Exception) -> str:
    shape = "×".join(map(str, in_shape))
    reason = (str(error).strip() or "no reason given").splitlines()[0]
    return f"The model cannot take images of {shape}: {type(error).__name__}: {reason}"
