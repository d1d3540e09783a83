"""A forward pass of one image of zeros, to find shapes, costs and errors."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lbc.sparsity.model_run import run_once
from lbc.sparsity.role_trace import RoleTrace


def run_on_zeros(
    model: nn.Module, in_shape: tuple[int, ...], trace: RoleTrace | None = None
) -> object:
    """Return the output for one image of zeros of ``in_shape`` (channels, height, width).

    The model is in evaluation mode during the call and is not changed. Weights on the meta device
    are replaced by zeros. ``trace`` records what the layers do.

    Raises ValueError if the model does not accept the image.
    """
    device = next((at.device for at in model.parameters() if not at.is_meta), "cpu")
    image = torch.zeros(1, *in_shape, device=device)
    try:
        return trace.run(model, (image,)) if trace else run_once(model, (image,))
    except Exception as error:
        raise ValueError(_message(in_shape, error)) from error


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


def _message(in_shape: tuple[int, ...], error: Exception) -> str:
    shape = "×".join(map(str, in_shape))
    reason = (str(error).strip() or "no reason given").splitlines()[0]
    return f"The model does not accept images of {shape}: {type(error).__name__}: {reason}"
