"""One image of zeros through a model, for what it shows: shapes, calls, errors."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lbc.sparsity.model_run import run_once
from lbc.sparsity.role_trace import RoleTrace


def trial(model: nn.Module, in_shape: tuple[int, ...], trace: RoleTrace | None = None) -> object:
    """What ``model`` puts out for one image of zeros of ``in_shape`` (channels, height, width).

    It is evaluated with its own weights, or with zeros for those on the meta device, and stays as
    it was. ``trace`` records what the layers do.

    Raises ValueError with one sentence where the model cannot take such an image.
    """
    device = next((at.device for at in model.parameters() if not at.is_meta), "cpu")
    image = torch.zeros(1, *in_shape, device=device)
    try:
        return trace.run(model, (image,)) if trace else run_once(model, (image,))
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


def _sentence(in_shape: tuple[int, ...], error: Exception) -> str:
    shape = "×".join(map(str, in_shape))
    reason = (str(error).strip() or "no reason given").splitlines()[0]
    return f"The model cannot take images of {shape}: {type(error).__name__}: {reason}"
