"""Which layers of a model become sparse, and why the others stay dense."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from math import prod

from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter
from torch.nn.utils import parametrize

from lbc.sparsity.pattern import Pattern

WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d)

DENSE = "dense"
"""The override that leaves a layer dense."""


@dataclass(frozen=True)
class LayerPlan:
    """What ``sparsify`` will do with one layer: a pattern, or the reason why it stays dense."""

    name: str
    kind: str
    shape: tuple[int, ...]
    pattern: Pattern | None
    reason: str = ""
    overridden: bool = False
    """Whether the layer was given an N:M, or density, of its own."""
    module: str = ""
    tensor: str = "weight"
    input_dim: int = 1

    @property
    def weights(self) -> int:
        return prod(self.shape)

    @property
    def blocks(self) -> int:
        """Number of blocks, 0 where the layer stays dense."""
        return self.weights // self.pattern.m if self.pattern else 0


def plan_layers(
    model: nn.Module,
    pattern: Pattern,
    skip: Sequence[str] | None = None,
    overrides: Mapping[str, Pattern | str | None] | None = None,
) -> tuple[LayerPlan, ...]:
    """Decide for every Linear, Conv1d and Conv2d of ``model``, in the model's order.

    Dense by default: the first convolution (or patch embedding), the last layer where it is a
    Linear (the classifier) and depthwise convolutions; a lone layer is neither first nor last.
    ``skip`` names more layers to leave dense. ``overrides`` gives single layers a pattern of
    their own, or ``"dense"`` (or None), and wins over both. Names may be globs; an exact name
    wins over a glob. A weight that several modules share stays dense: one mask per module would
    be several masks on one weight.

    Raises ValueError for a name that matches no layer and for an override that cannot fit.
    """
    layers = {name: m for name, m in model.named_modules() if isinstance(m, WEIGHTED)}
    _check_names(layers, [*(skip or ()), *(overrides or {})])
    by_default = _dense_by_default(layers)
    owners = _owners(model)
    plans = []
    for name, layer in layers.items():
        overridden = _match(name, overrides or {}) is not None
        chosen = _chosen(name, pattern, overrides or {})
        reason = _impossible(name, layer, chosen, owners)
        if chosen is not None and reason and overridden:
            raise ValueError(f"The override {chosen} of layer {name!r} is impossible: {reason}.")
        if chosen is None:
            reason = "left dense on request"
        elif not overridden:
            asked = _match(name, dict.fromkeys(skip or ()))
            reason = "skipped on request" if asked is not None else by_default.get(name, reason)
        shape = () if _uninitialised(layer) else tuple(_weight_of(layer).shape)
        kept = None if reason else chosen
        plans.append(
            LayerPlan(name, type(layer).__name__, shape, kept, reason, overridden, module=name)
        )
    return tuple(plans)


def _dense_by_default(layers: Mapping[str, nn.Module]) -> dict[str, str]:
    if len(layers) < 2:
        return {}
    reasons = {
        name: "depthwise convolution"
        for name, layer in layers.items()
        if isinstance(layer, nn.Conv1d | nn.Conv2d) and layer.groups == layer.in_channels > 1
    }
    convs = [name for name, layer in layers.items() if isinstance(layer, nn.Conv1d | nn.Conv2d)]
    if convs:
        reasons[convs[0]] = "the first convolution"
    last = list(layers)[-1]
    if isinstance(layers[last], nn.Linear):
        reasons[last] = "the classifier"
    return reasons


def _owners(model: nn.Module) -> dict[int, list[str]]:
    """The names of the modules that hold each parameter, by the parameter's id."""
    owners: dict[int, list[str]] = {}
    for name, module in model.named_modules():
        for parameter in dict.fromkeys(module.parameters(recurse=False)):
            owners.setdefault(id(parameter), []).append(name)
    return owners


def _impossible(
    name: str, layer: nn.Module, pattern: Pattern | None, owners: Mapping[int, Sequence[str]]
) -> str:
    if _uninitialised(layer):
        return "its shape is not known before the first forward pass"
    if parametrize.is_parametrized(layer, "weight"):
        return "its weight already has a parametrization"
    weight = _weight_of(layer)
    if not isinstance(weight, nn.Parameter):
        return "its weight is computed from other parameters, as pruning and weight norm do"
    others = [owner for owner in owners[id(weight)] if owner != name]
    if others:
        return f"its weight is shared with {', '.join(others)}"
    if not weight.is_floating_point():
        return f"its weight is {weight.dtype}, not floating point"
    width = weight.shape[1]
    if not weight.numel():
        return "its weight is empty"
    if pattern is not None and width % pattern.m:
        return f"input width {width} is not a multiple of {pattern.m}"
    return ""


def _uninitialised(layer: nn.Module) -> bool:
    return isinstance(layer.weight, UninitializedParameter)


def _weight_of(layer: nn.Module) -> Tensor:
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return weight


def _chosen(
    name: str, pattern: Pattern, overrides: Mapping[str, Pattern | str | None]
) -> Pattern | None:
    key = _match(name, overrides)
    value = pattern if key is None else overrides[key]
    if value is None or value == DENSE:
        return None
    return Pattern.parse(value) if isinstance(value, str) else value


def _match(name: str, wanted: Mapping[str, object]) -> str | None:
    if name in wanted:
        return name
    return next((glob for glob in wanted if fnmatchcase(name, glob)), None)


def _check_names(layers: Mapping[str, nn.Module], wanted: Sequence[str]) -> None:
    for glob in wanted:
        if not any(fnmatchcase(name, glob) or name == glob for name in layers):
            near = get_close_matches(glob, layers, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"the layers are {', '.join(layers)}."
            raise ValueError(f"No Linear, Conv1d or Conv2d layer is named {glob!r}: {hint}")
