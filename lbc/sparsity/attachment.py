"""Attaching a layer to a module's weight, and making the module plain again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from weakref import ref

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from lbc.sparsity.sparse_layer import SparseLayer
from lbc.sparsity.state_identity import check_identity
from lbc.sparsity.weight_sites import Site


class Transposed(nn.Module):
    """A layer on a weight of order (I, O, *kernel), as transformers' Conv1D has it."""

    def __init__(self, layer: SparseLayer) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, weight: Tensor) -> Tensor:
        masked: Tensor = self.layer(weight.movedim(0, 1))
        return masked.movedim(1, 0)

    def right_inverse(self, weight: Tensor) -> Tensor:
        """As ``SparseLayer.right_inverse``."""
        return weight


def attach(model: nn.Module, site: Site, layer: SparseLayer) -> None:
    """Register the layer as the parametrization of its weight."""
    module = model.get_submodule(site.module)
    parametrization = Transposed(layer) if site.input_dim == 0 else layer
    parametrize.register_parametrization(module, site.tensor, parametrization)
    module.register_load_state_dict_pre_hook(  # type: ignore[no-untyped-call]
        _PlainWeight(site.tensor)
    )


def attached_layers(model: nn.Module) -> dict[Site, SparseLayer]:
    """The layers of a model, by their sites, in the model's order."""
    found = {}
    for path, module in model.named_modules():
        if not parametrize.is_parametrized(module):
            continue
        for tensor, chain in module.parametrizations.items():
            transposed = isinstance(chain[0], Transposed)
            layer = chain[0].layer if transposed else chain[0]
            if isinstance(layer, SparseLayer):
                found[Site(path, tensor, 0 if transposed else 1)] = layer
    return found


def detach(model: nn.Module, site: Site, layer: SparseLayer) -> None:
    """Make the weight a plain parameter again, zero where it is masked.

    The module's parameters get the order they had before layers were attached, in which
    optimisers and ``parameters_to_vector`` number them.
    """
    module = model.get_submodule(site.module)
    layer.release(module)
    _unshare_parametrized_class(module)
    parametrize.remove_parametrizations(module, site.tensor, leave_parametrized=True)
    remove_loading_hook(module, _PlainWeight(site.tensor))
    weight = getattr(module, site.tensor)
    with torch.no_grad():
        weight.add_(0.0)  # −0 becomes +0
    parameters = module._parameters
    for name in dict.fromkeys((*layer.parameter_order, *parameters)):
        if name in parameters:
            parameters[name] = parameters.pop(name)


def refuse_other_states(
    module: nn.Module, state_dict: Mapping[str, Any], prefix: str, *_: object
) -> None:
    """Raise RuntimeError if a state dict is of another N:M, method or form of scores.

    A pre-hook of what ``sparsify`` was given: nothing has been loaded then.
    """
    for site, layer in attached_layers(module).items():
        within = "0.layer." if site.input_dim == 0 else "0."
        stored = state_dict.get(f"{prefix}{site.prefix}{within}identity")
        try:
            check_identity(stored, layer.identity, layer.name)
        except ValueError as error:
            raise RuntimeError(str(error)) from None  # as torch does for what does not fit


def remove_loading_hook(module: nn.Module, hook: object) -> None:
    """Undo ``module.register_load_state_dict_pre_hook(hook)``."""
    hooks = module._load_state_dict_pre_hooks
    for key, wrapped in list(hooks.items()):
        if getattr(wrapped, "hook", None) == hook:
            del hooks[key]


@dataclass(frozen=True)
class _PlainWeight:
    """Lets a module whose weight has a layer load the state dict of a plain one, and no other.

    Scores, mask and live sets stay as they are.
    """

    tensor: str

    def __call__(
        self, module: Any, state_dict: dict[str, Any], prefix: str, *_arguments: object
    ) -> None:
        refuse_other_states(module, state_dict, prefix)
        below = f"{prefix}parametrizations.{self.tensor}."
        if prefix + self.tensor not in state_dict or f"{below}original" in state_dict:
            return
        state_dict[f"{below}original"] = state_dict.pop(prefix + self.tensor)
        first = module.parametrizations[self.tensor][0]
        for key, value in first.state_dict(prefix=f"{below}0.").items():
            state_dict.setdefault(key, value)


class HeldZeros:
    """Keeps masked weights of a plain model zero while it is trained on.

    A forward pre-hook of the model. It masks the gradients, so that no optimiser moves a masked
    weight, momentum and weight decay included, and, before every training step, the weights, in
    case something else did. Copies of the model keep it.
    """

    def __init__(self, masks: Mapping[str, Tensor]) -> None:
        self._masks = dict(masks)
        self._hooked: dict[str, ref[Tensor]] = {}

    def __call__(self, model: nn.Module, _inputs: object = None) -> None:
        if not model.training:
            return
        for name, mask in self._masks.items():
            weight = model.get_parameter(name)
            if mask.device != weight.device:
                mask = self._masks[name] = mask.to(weight.device)
            with torch.no_grad():
                weight.mul_(mask)
            known = self._hooked.get(name)
            if weight.requires_grad and (known is None or known() is not weight):
                weight.register_hook(_Masked(mask))  # type: ignore[no-untyped-call]
                self._hooked[name] = ref(weight)


@dataclass(frozen=True, eq=False)
class _Masked:
    mask: Tensor

    def __call__(self, gradient: Tensor) -> Tensor:
        return gradient * self.mask


def _unshare_parametrized_class(module: nn.Module) -> None:
    # torch takes the weight away from the class it made for a parametrized module, and copies of
    # the module share that class: without this, finalizing one would break all others.
    shared = type(module)
    module.__class__ = type(shared.__name__, shared.__bases__, dict(vars(shared)))
