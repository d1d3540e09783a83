"""The layers of a state dict: which of its tensors are weights, and what they compute with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from lbc.inspection.errors import LayerProblem

if TYPE_CHECKING:
    from torch import Tensor

PARAMETRIZED = "parametrizations.weight."
"""Where torch.nn.utils.parametrize keeps the weight of a layer in training."""


@dataclass(frozen=True)
class Stored:
    """A weight (O, I, *kernel) that still lies in its file: ``read`` brings it.

    ``read`` raises LayerProblem where the file does not hold what it says.
    """

    shape: tuple[int, ...]
    read: Callable[[], Tensor]


def layers_among(tensors: Mapping[str, object]) -> dict[str, Stored]:
    """The layers of a state dict by name, in its order: floating-point tensors ``X.weight`` of 2
    to 4 dimensions, and the weights of layers in LBC training, whose masks are then applied."""
    from torch import Tensor

    layers: dict[str, Stored] = {}
    parallel = all(key.startswith("module.") for key in tensors)
    for key in tensors:
        name = layer_name(key.removeprefix("module.") if parallel else key)
        weight = tensors[key] if name is not None else None
        if name is None or not isinstance(weight, Tensor) or not weight.is_floating_point():
            continue
        if weight.ndim not in (2, 3, 4) or weight.numel() == 0:
            continue
        # A file may hold a layer's plain weight beside one in training.
        unique = key if name in layers else name
        layers[unique] = Stored(tuple(weight.shape), partial(_effective, tensors, key, name))
    return layers


def layer_name(key: str) -> str | None:
    """The layer a key of a state dict belongs to, or None where it is no layer's weight."""
    key = key.replace(PARAMETRIZED + "original", "weight") if key.endswith("original") else key
    if key == "weight":
        return key
    return key.removesuffix(".weight") if key.endswith(".weight") else None


def _effective(tensors: Mapping[str, object], key: str, name: str) -> Tensor:
    from torch import Tensor

    weight = tensors[key]
    assert isinstance(weight, Tensor)
    check_storage(name, weight)
    if key.endswith(PARAMETRIZED + "original"):
        return _masked(name, weight, tensors.get(key.removesuffix("original") + "0.mask"))
    return weight


def check_storage(name: str, weight: Tensor) -> None:
    """Raises LayerProblem unless the tensor's elements are all really in the file."""
    import torch

    if weight.layout != torch.strided or weight.device.type != "cpu":
        raise LayerProblem(f"the weight of layer {name} is stored in a sparse or empty form.")
    # A view with stride 0 claims any size for one stored number, and would fill the memory.
    if weight.untyped_storage().nbytes() < weight.numel() * weight.element_size():
        raise LayerProblem(f"the weight of layer {name} is larger than what is stored for it.")


def _masked(name: str, original: Tensor, mask: object) -> Tensor:
    """The weight a layer in training computes with: ``original`` where its mask is true, else 0."""
    import torch
    from torch import Tensor

    if not isinstance(mask, Tensor) or mask.dtype != torch.bool or mask.shape != original.shape:
        raise LayerProblem(
            f"layer {name} is parametrized by something else than an N:M mask: "
            f"remove its parametrizations before saving."
        )
    check_storage(name, mask)
    return original.masked_fill(~mask, 0)
