"""2:4 weights as NVIDIA's sparse tensor cores take them, made when a trained model is loaded."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from lbc.sparsity.compliance import check
from lbc.sparsity.pattern import Pattern

TWO_FOUR = Pattern(2, 4)

TYPES = (torch.float16, torch.bfloat16)

MULTIPLES = (32, 64)
"""Of which the outputs and inputs of a layer must be multiples, for either of torch's back ends."""


def to_sparse_semi_structured(model: nn.Module) -> tuple[str, ...]:
    """Turn every 2:4 Linear weight of ``model`` into torch's semi-structured form, in place.

    Returns the names of the layers; the others stay as they are. A mask is never made here: a
    weight with more than two non-zeros in any four is left dense. The model must be on a CUDA GPU
    of compute capability 8.0 or more, in float16 or bfloat16, and is then for inference alone.

    Raises ValueError where that is not so, where the model is still being trained by lbc, or where
    no layer is 2:4; nothing has been changed then.
    """
    names, reasons = two_four_layers(model)
    if not names:
        first = "; ".join(f"{name}: {reason}" for name, reason in list(reasons.items())[:3])
        raise ValueError(f"No layer of the model is 2:4 ({first or 'it has no Linear layer'}).")
    for name in names:
        weight = _linear(model, name).weight
        if weight.device.type != "cuda":
            raise ValueError(
                f"The weights are on {weight.device}, and torch's 2:4 form exists on CUDA GPUs "
                "alone: move the model to one with model.to('cuda')."
            )
        if weight.dtype not in TYPES:
            raise ValueError(
                f"The weight of layer {name!r} is {weight.dtype}: convert the model first, "
                "with model.half() or model.bfloat16()."
            )
    if torch.cuda.get_device_capability()[0] < 8:
        raise ValueError("This GPU has no sparse tensor cores: 2:4 needs an A100 or newer.")
    for name in names:
        layer = _linear(model, name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch calls its form a prototype, once
            sparse = torch.sparse.to_sparse_semi_structured(layer.weight.detach().contiguous())
        layer.weight = nn.Parameter(sparse, requires_grad=False)
    return names


def two_four_layers(model: nn.Module) -> tuple[tuple[str, ...], dict[str, str]]:
    """The Linear layers that can take the 2:4 form, and why each other one cannot.

    Raises ValueError where a layer is still parametrized, as it is during training.
    """
    fitting, reasons = list[str](), dict[str, str]()
    for name, module in model.named_modules():
        if not isinstance(module, nn.Linear):
            continue
        if parametrize.is_parametrized(module):
            raise ValueError(
                f"Layer {name!r} is still in training: call sparsifier.finalize() first."
            )
        reason = _unfit(module.weight)
        if reason:
            reasons[name] = reason
        else:
            fitting.append(name)
    return tuple(fitting), reasons


def _unfit(weight: Tensor) -> str:
    outputs, inputs = weight.shape
    if outputs % MULTIPLES[0] or inputs % MULTIPLES[1]:
        return (
            f"{outputs}×{inputs} is not a multiple of {MULTIPLES[0]}×{MULTIPLES[1]}, as the sparse "
            "tensor cores need"
        )
    result = check(weight.detach(), TWO_FOUR)
    if not result.valid:
        return f"{result.violations} blocks keep more than 2 of 4 weights"
    return ""


def _linear(model: nn.Module, name: str) -> nn.Linear:
    layer = model.get_submodule(name)
    assert isinstance(layer, nn.Linear)
    return layer
