"""One image of zeros through a model, for what it shows: shapes, calls, errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel


def trial(
    model: nn.Module,
    in_shape: tuple[int, ...],
    watching: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> object:
    """What ``model`` puts out for one image of zeros of ``in_shape`` (channels, height, width).

    It is evaluated on the meta device, where nothing is computed, and only where that fails with
    its own weights; each attempt runs inside a new ``watching()``. The model stays as it was.

    Raises ValueError with one sentence where the model cannot take such an image.
    """
    with _evaluated(model):
        try:
            with watching(), torch.no_grad():
                return _on_meta(model, in_shape)
        except Exception as error:
            if any(tensor.is_meta for tensor in model.parameters()):
                raise ValueError(_sentence(in_shape, error)) from error
        try:
            # With gradients, since torch's fused transformer layers, which hide the calls inside
            # them, need none; and attention as products that can be counted.
            with watching(), torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
                return model(torch.zeros(1, *in_shape, device=_device(model)))
        except Exception as error:
            raise ValueError(_sentence(in_shape, error)) from error


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


def _on_meta(model: nn.Module, in_shape: tuple[int, ...]) -> object:
    image = torch.zeros(1, *in_shape, device="meta")
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    if all(tensor.is_meta for tensor in tensors.values()):
        return model(image)
    shapes = {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors.items()}
    return torch.func.functional_call(model, shapes, (image,))


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


def _device(model: nn.Module) -> torch.device:
    return next((tensor.device for tensor in model.parameters()), torch.device("cpu"))


def _sentence(in_shape: tuple[int, ...], error: Exception) -> str:
    shape = "×".join(map(str, in_shape))
    reason = (str(error).strip() or "no reason given").splitlines()[0]
    return f"The model cannot take images of {shape}: {type(error).__name__}: {reason}"
