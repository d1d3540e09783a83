"""What each layer of a model is, holds and costs: the layer table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, prod
from typing import Any

import torch
from torch import nn
from torch._ops import OpOverload
from torch.utils.flop_counter import flop_registry

from lbc.models.probe import run_on_zeros
from lbc.sparsity.layer_plan import LayerPlan
from lbc.sparsity.layer_roles import Roles
from lbc.sparsity.role_trace import RoleTrace
from lbc.sparsity.weight_sites import find_sites

aten = torch.ops.aten
FORMULAS = flop_registry | {
    # Attention as torch computes it on a processor, which its own list lacks.
    aten._scaled_dot_product_flash_attention_for_cpu: flop_registry[
        aten._scaled_dot_product_flash_attention
    ]
}
"""How many operations a call of torch takes, by torch's own formulas."""


@dataclass(frozen=True)
class LayerCost:
    """The cost of a weight for one image, summed over all products with it.

    ``positions`` is the number of output positions, such as the pixels of a convolution or the
    tokens of a linear layer. The multiply-adds, ``macs``, are positions × weights, and the layer is
    a product of (out, in·kernel) and (in·kernel, positions). All are 0 for a layer that the forward
    pass does not use.
    """

    positions: int = 0
    macs: int = 0
    calls: int = 0


@dataclass(frozen=True)
class ModelCost:
    """The cost of every weight by name, and of the whole model, for one image.

    ``macs`` counts every product of the forward pass, also those between activations, as in
    attention, which belong to no layer. ``roles`` are what the run showed of first and last layers.
    """

    layers: Mapping[str, LayerCost]
    macs: int
    roles: Roles


@dataclass(frozen=True)
class LayerRow:
    """One weight: its plan, its cost, its share of all multiply-adds.

    ``parameters`` counts the module's biases too, in the first row of a module.
    """

    plan: LayerPlan
    parameters: int
    cost: LayerCost
    share: float

    @property
    def combinations(self) -> int:
        """In every block; 0 where the layer stays dense."""
        return self.plan.pattern.count if self.plan.pattern else 0


@dataclass(frozen=True)
class LayerTable:
    """Every weight of two or more dimensions; ``parameters`` and ``macs`` are the whole model's."""

    rows: tuple[LayerRow, ...]
    parameters: int
    macs: int

    @property
    def unassigned_share(self) -> float:
        """Share of the multiply-adds that belong to no layer of the table."""
        return 1 - sum(row.cost.macs for row in self.rows) / self.macs if self.macs else 0.0


def layer_table(model: nn.Module, plans: Sequence[LayerPlan], cost: ModelCost) -> LayerTable:
    """The table of ``model``, given its ``plan_layers`` and ``model_cost``."""
    own = _own_parameters(model)
    rows = []
    for plan in plans:
        layer = cost.layers[plan.name]
        share = layer.macs / cost.macs if cost.macs else 0.0
        rows.append(LayerRow(plan, own[plan.name], layer, share))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return LayerTable(tuple(rows), parameters, cost.macs)


def model_cost(model: nn.Module, in_shape: tuple[int, ...]) -> ModelCost:
    """The cost of a forward pass for one image of ``in_shape`` (channels, height, width).

    The weights may be on the meta device. Raises ValueError if the model does not accept the image.
    """
    trace = _CostTrace(model)
    run_on_zeros(model, in_shape, trace)
    costs = {}
    for site in find_sites(model):
        products, weights = trace.products.get(site.name, []), max(1, prod(site.shape))
        macs = sum(macs for macs, _ in products)
        used = sum(min(used, weights) for _, used in products)  # more if repeated for a batch
        costs[site.name] = LayerCost(macs // weights, macs, ceil(used / weights))
    return ModelCost(costs, trace.macs, trace.roles)


class _CostTrace(RoleTrace):  # type: ignore[no-untyped-call]
    """Adds up the multiply-adds of this thread's operations, by torch's own formulas.

    torch's FlopCounterMode would add hooks to every module of the process, and so affect a training
    in another thread.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self.macs = 0
        self.products: dict[str, list[tuple[int, int]]] = {}
        """Multiply-adds and weights of each product with a weight, or part of it, by name."""

    def __torch_dispatch__(
        self,
        func: OpOverload,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        out = super().__torch_dispatch__(func, types, args, kwargs)
        formula = FORMULAS.get(func._overloadpacket)
        if formula is not None:
            macs = formula(*args, **(kwargs or {}), out_val=out) // 2
            self.macs += macs
            for name, weights in self.weights_in(func, args).items():
                self.products.setdefault(name, []).append((macs, weights))
        return out


def _own_parameters(model: nn.Module) -> dict[str, int]:
    """How many parameters each weight counts for: the first of a module with its biases."""
    counts: dict[str, int] = {}
    seen: set[nn.Module] = set()
    for site in find_sites(model):
        own = list(site.parameters().values())
        if site.owner not in seen:
            seen.add(site.owner)
            own += [at for at in site.owner.parameters(recurse=False) if at.ndim < 2]
        counts[site.name] = sum(parameter.numel() for parameter in own)
    return counts
