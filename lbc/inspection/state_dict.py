"""The layers of a state dict and their effective weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from lbc.inspection.errors import LayerError

if TYPE_CHECKING:
    from torch import Tensor

PARAMETRIZED = "parametrizations.weight."
"""Prefix under which torch.nn.utils.parametrize stores the weight of a layer in training."""


@dataclass(frozen=True)
class StoredWeight:
    """A weight (O, I, *kernel) in a file. ``read`` loads it; raises LayerError if it is damaged."""

    shape: tuple[int, ...]
    read: Callable[[], Tensor]


def find_layers(tensors: Mapping[str, object]) -> dict[str, StoredWeight]:
    """The layers of a state dict by name, in its order: floating-point tensors ``X.weight`` with 2
    to 4 dimensions, and weights in LBC training, to which their masks are applied."""
    from torch import Tensor

    layers: dict[str, StoredWeight] = {}
    parallel = all(key.startswith("module.") for key in tensors)
    for key in tensors:
        name = layer_name(key.removeprefix("module.") if parallel else key)
        weight = tensors[key] if name is not None else None
        if name is None or not isinstance(weight, Tensor) or not weight.is_floating_point():
            continue
        if weight.ndim not in (2, 3, 4) or weight.numel() == 0:
            continue
        # A file may contain both a plain weight and one in training for the same layer.
        unique = key if name in layers else name
        layers[unique] = StoredWeight(tuple(weight.shape), partial(_effective, tensors, key, name))
    return layers


def layer_name(key: str) -> str | None:
    """The layer whose weight has this key in a state dict; None if it is not a weight."""
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
    """Raise LayerError unless all elements of the tensor are in the file."""
    import torch

    if weight.layout != torch.strided or weight.device.type != "cpu":
        raise LayerError(f"the weight of layer {name} is a sparse or meta tensor: save it dense.")
    # A view with stride 0 can have any size with one stored element, and would fill the memory.
    if weight.untyped_storage().nbytes() < weight.numel() * weight.element_size():
        raise LayerError(f"the weight of layer {name} is larger than its stored data.")


def _masked(name: str, original: Tensor, mask: object) -> Tensor:
    """The effective weight of a layer in training: ``original`` where the mask is true, else 0."""
    import torch
    from torch import Tensor

    if not isinstance(mask, Tensor) or mask.dtype != torch.bool or mask.shape != original.shape:
        raise LayerError(
            f"the parametrization of layer {name} is not an N:M mask: remove its parametrizations "
            f"before saving."
        )
    check_storage(name, mask)
    return original.masked_fill(~mask, 0)
