"""Which weights of a model become sparse, and why the others stay dense."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import prod

from torch import nn

from lbc.sparsity.layer_names import check_names
from lbc.sparsity.layer_roles import Roles, dense_by_default
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.role_trace import trace_roles
from lbc.sparsity.weight_sites import Site, WeightSite, find_sites

DENSE = "dense"
"""The override that leaves a layer dense."""


PatternLike = Pattern | str | tuple[int, int]
"""An N:M as users write it: ``Pattern(2, 4)``, ``"2:4"`` or ``(2, 4)``; of pairs ``"4:8x2"``."""


@dataclass(frozen=True)
class LayerPlan(Site):
    """What ``sparsify`` will do with one weight: a pattern, or the reason why it stays dense."""

    kind: str
    """Class name of the module."""
    shape: tuple[int, ...]
    """(O, I, *kernel), whatever the tensor's own order; () if it is not initialised yet."""
    pattern: Pattern | None
    reason: str
    overridden: bool
    """Whether the layer was given an N:M, or density, of its own."""

    @property
    def weights(self) -> int:
        return prod(self.shape)

    @property
    def blocks(self) -> int:
        """Number of blocks, 0 where the layer stays dense."""
        return self.weights // self.pattern.m if self.pattern else 0


def plan_layers(
    model: nn.Module,
    pattern: PatternLike,
    skip: str | Sequence[str] | None = None,
    overrides: Mapping[str, PatternLike | None] | None = None,
    example_inputs: object = None,
    sparse: Collection[str] | None = None,
) -> tuple[LayerPlan, ...]:
    """Decide for every parameter of two or more dimensions of ``model``, in the model's order.

    A pattern fits the weights of Linear, convolutions, transposed convolutions, transformers'
    Conv1D, the projections of MultiheadAttention and, by an override only, embeddings.

    The first convolution, the layers that make the outputs and depthwise convolutions stay dense
    (see ``dense_by_default``). With ``example_inputs``, as ``trace_roles`` takes them or the
    ``Roles`` that it found, a run of the model shows which layers these are; otherwise names and
    order of registration decide, and the reason says so.

    ``skip`` names more layers to leave dense. ``overrides`` gives single layers a pattern of
    their own, or ``"dense"`` (or None), and wins over both. Names may be globs; an exact name
    wins over a glob. A weight that several modules share stays dense: one mask per module would
    be several masks on one weight. ``sparse`` names the weights that were sparse when a run of the
    model was started, by whatever rules: exactly those are sparse again.

    Raises ValueError for a name that matches no layer, for an override that cannot fit, for
    inputs that the model cannot take, and where no layer is left for a pattern.
    """
    wanted = parse_pattern(pattern)
    skipped = dict.fromkeys([skip] if isinstance(skip, str) else skip or ())
    chosen = {name: _parse_override(value) for name, value in (overrides or {}).items()}
    sites = find_sites(model)
    check_names([site.name for site in sites], [*skipped, *chosen])
    roles = Roles()
    if isinstance(example_inputs, Roles):
        roles = example_inputs
    elif example_inputs is not None:
        roles = trace_roles(model, example_inputs)
    by_default = dense_by_default(model, sites, roles)
    owners = _owners(model)
    plans = tuple(_plan(at, wanted, skipped, chosen, by_default, owners, sparse) for at in sites)
    if not any(plan.pattern for plan in plans):
        raise ValueError(_nothing_qualifies(wanted, plans))
    return plans


def parse_pattern(pattern: PatternLike) -> Pattern:
    """The N:M that ``pattern`` means. Raises ValueError with a sentence."""
    if isinstance(pattern, Pattern):
        return pattern
    if isinstance(pattern, tuple | list) and len(pattern) == 2:
        return Pattern(*pattern)
    if isinstance(pattern, str):
        return Pattern.parse(pattern)
    raise ValueError(f"{pattern!r} is not an N:M pattern: write two whole numbers, like 2:4.")


def _parse_override(value: PatternLike | None) -> Pattern | None:
    return None if value is None or value == DENSE else parse_pattern(value)


def _plan(
    site: WeightSite,
    pattern: Pattern,
    skip: Mapping[str, None],
    overrides: Mapping[str, Pattern | None],
    by_default: Mapping[str, str],
    owners: Mapping[int, Sequence[str]],
    sparse: Collection[str] | None,
) -> LayerPlan:
    key = _match(site.name, overrides)
    if key != site.name and site.unsupported:
        key = None  # a glob means the layers among what it matches
    overridden = key is not None
    chosen = pattern if key is None else overrides[key]
    reason = _impossible(site, chosen, owners)
    was_sparse = sparse is not None and site.name in sparse
    was_dense = sparse is not None and not was_sparse
    if reason and overridden and chosen is not None and not was_dense:
        raise ValueError(f"The override {chosen} of layer {site.name!r} is impossible: {reason}.")
    if chosen is None:
        reason = "left dense on request"
    elif not overridden and _match(site.name, skip) is not None:
        reason = "skipped on request"
    elif not overridden and not was_sparse:
        reason = by_default.get(site.name, reason)
    if was_dense:
        reason = reason or "dense since the run was started"
    place = site.module, site.tensor, site.input_dim
    pattern_kept = None if reason else chosen
    return LayerPlan(*place, site.kind, site.shape, pattern_kept, reason, overridden)


def _owners(model: nn.Module) -> dict[int, list[str]]:
    """The names under which modules hold each parameter, by the parameter's id."""
    owners: dict[int, list[str]] = {}
    for name, module in model.named_modules():
        for tensor, parameter in module.named_parameters(recurse=False, remove_duplicate=False):
            owners.setdefault(id(parameter), []).append(Site(name, tensor, None).name)
    return owners


def _impossible(
    site: WeightSite, pattern: Pattern | None, owners: Mapping[int, Sequence[str]]
) -> str:
    """Why no pattern, or not this one, can be put on the weight; empty where it can."""
    if site.parametrized:
        return "its weight already has a parametrization"
    if site.unsupported:
        return site.unsupported
    if site.uninitialised:
        return "its shape is not known before the first forward pass"
    weight = site.value
    if not isinstance(weight, nn.Parameter):
        return "its weight is computed from other parameters, as pruning and weight norm do"
    others = [owner for owner in owners[id(weight)] if owner != site.name]
    if others:
        return f"its weight is shared with {', '.join(others)}"
    if not weight.is_floating_point():
        return f"its weight is {weight.dtype}, not floating point"
    if not weight.numel():
        return "its weight is empty"
    width = site.shape[1]
    if pattern is not None and width % pattern.m:
        return f"input width {width} is not a multiple of {pattern.m}"
    return ""


def _match(name: str, wanted: Mapping[str, object]) -> str | None:
    if name in wanted:
        return name
    return next((glob for glob in wanted if fnmatchcase(name, glob)), None)


def _nothing_qualifies(pattern: Pattern, plans: Sequence[LayerPlan]) -> str:
    if not plans:
        return f"No layer of the model can take {pattern}: it has no weight of two dimensions."
    reasons = "; ".join(f"{plan.name or plan.kind}: {plan.reason}" for plan in plans)
    return (
        f"No layer of the model can take {pattern} ({reasons}). Choose another N:M, or give a "
        "layer one of its own by an override."
    )
