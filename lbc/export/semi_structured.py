"""Conversion of 2:4 weights to the semi-structured form of NVIDIA's sparse tensor cores."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from lbc.sparsity.compliance import check
from lbc.sparsity.pattern import Pattern

TWO_FOUR = Pattern(2, 4)

DTYPES = (torch.float16, torch.bfloat16)

MULTIPLES = (32, 64)
"""Divisors of a layer's outputs and inputs that both of torch's backends require."""


def to_sparse_semi_structured(model: nn.Module) -> tuple[str, ...]:
    """Convert every 2:4 Linear weight of ``model`` to torch's semi-structured form, in place.

    Returns the names of the converted layers. No mask is applied: a weight with more than two
    non-zeros in a block of four stays dense. The model must be on a CUDA GPU of compute capability
    8.0 or higher, in float16 or bfloat16, and can afterwards be used for inference only.

    Raises ValueError, changing nothing, if the model does not meet these requirements, is still
    sparsified for training, or has no 2:4 layer.
    """
    layers, reasons = find_two_four_layers(model)
    if not layers:
        first = "; ".join(f"{name}: {reason}" for name, reason in list(reasons.items())[:3])
        raise ValueError(f"No layer of the model is 2:4 ({first or 'it has no Linear layer'}).")
    for name, layer in layers.items():
        weight = layer.weight
        if weight.device.type != "cuda":
            raise ValueError(
                f"The weights are on {weight.device}, but torch's 2:4 form requires a CUDA GPU: "
                "move the model to one with model.to('cuda')."
            )
        if weight.dtype not in DTYPES:
            raise ValueError(
                f"The weight of layer {name!r} is {weight.dtype}: convert the model first, "
                "with model.half() or model.bfloat16()."
            )
        if torch.cuda.get_device_capability(weight.device)[0] < 8:
            raise ValueError("This GPU has no sparse tensor cores: 2:4 needs an A100 or newer.")
    for layer in layers.values():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns that the form is a prototype
            sparse = torch.sparse.to_sparse_semi_structured(layer.weight.detach().contiguous())
        layer.weight = nn.Parameter(sparse, requires_grad=False)
    return tuple(layers)


def find_two_four_layers(model: nn.Module) -> tuple[dict[str, nn.Linear], dict[str, str]]:
    """Return the Linear layers that can be converted, and a reason for each that cannot, by name.

    Raises ValueError if a layer is still parametrized, as it is during training.
    """
    layers, reasons = dict[str, nn.Linear](), dict[str, str]()
    for name, module in model.named_modules():
        if not isinstance(module, nn.Linear):
            continue
        if parametrize.is_parametrized(module):
            raise ValueError(
                f"Layer {name!r} is still parametrized: call sparsifier.finalize() first."
            )
        reason = _obstacle(module.weight)
        if reason:
            reasons[name] = reason
        else:
            layers[name] = module
    return layers, reasons


def _obstacle(weight: Tensor) -> str:
    outputs, inputs = weight.shape
    if outputs % MULTIPLES[0] or inputs % MULTIPLES[1]:
        return (
            f"{outputs}×{inputs} is not a multiple of {MULTIPLES[0]}×{MULTIPLES[1]}, as the "
            "kernels require"
        )
    result = check(weight.detach(), TWO_FOUR)
    if not result.valid:
        return f"{result.violations} blocks keep more than 2 of 4 weights"
    return ""
