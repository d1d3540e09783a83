"""A forward pass with one image of zeros, to find shapes, calls and errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

CPU = torch.device("cpu")


def run_on_zeros(model: nn.Module, in_shape: tuple[int, ...]) -> object:
    """Return the output for one image of zeros of ``in_shape`` (channels, height, width).

    The model is in evaluation mode during the call and is not changed. Weights on the meta device
    are replaced by zeros.

    Raises ValueError if the model does not accept the image.
    """
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    zeros = {name: _zeros(tensor) for name, tensor in tensors.items() if tensor.is_meta}
    device = next((at.device for at in tensors.values() if not at.is_meta), CPU)
    try:
        # With gradients, because torch would otherwise use fused transformer layers, which hide
        # the calls of their sublayers. ``device``, because the caller's default may be meta.
        with _eval_mode(model), torch.enable_grad(), device:
            return torch.func.functional_call(model, zeros, (torch.zeros(1, *in_shape),))
    except Exception as error:
        raise ValueError(_message(in_shape, error)) from error


def _zeros(tensor: Tensor) -> Tensor:
    """Zeros that take no memory. A forward pass on the meta device would be slower, because torch
    first imports its compiler, in seconds."""
    return torch.zeros((), dtype=tensor.dtype, device=CPU).expand(tensor.shape)


def explain_wrong_output(output: object, classes: int) -> str:
    """Say why the output for one image is not logits of ``classes``; empty if it is."""
    if not isinstance(output, Tensor):
        return f"returns {type(output).__name__} instead of a tensor of logits"
    if tuple(output.shape) != (1, classes):
        shape = "×".join(map(str, output.shape))
        return (
            f"returns {shape} for one image instead of 1×{classes}: set the number of classes, "
            f"{classes}, in model.kwargs"
        )
    return ""


@contextmanager
def _eval_mode(model: nn.Module) -> Iterator[None]:
    """Evaluation mode; restores the mode of each module afterwards."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _message(in_shape: tuple[int, ...], error: Exception) -> str:
    shape = "×".join(map(str, in_shape))
    reason = (str(error).strip() or "no reason given").splitlines()[0]
    return f"The model does not accept images of {shape}: {type(error).__name__}: {reason}"
