"""The layer table: the plan, parameters and multiply-adds of every layer of a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.nn.parameter import UninitializedParameter
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from lbc.models.probe import run_on_zeros
from lbc.sparsity.layer_plan import WEIGHTED, LayerPlan

aten = torch.ops.aten
FORMULAS = flop_registry | {
    # CPU attention, which torch's own registry lacks.
    aten._scaled_dot_product_flash_attention_for_cpu: flop_registry[
        aten._scaled_dot_product_flash_attention
    ]
}
"""torch's formulas for the number of operations of a call."""


@dataclass(frozen=True)
class LayerCost:
    """The cost of a layer for one image, summed over all calls.

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
    """The cost of every layer by name, and of the whole model, for one image.

    ``macs`` includes products between activations, as in attention, which belong to no layer.
    """

    layers: Mapping[str, LayerCost]
    macs: int


@dataclass(frozen=True)
class LayerRow:
    """One layer: plan, number of parameters, cost, and share of the model's multiply-adds."""

    plan: LayerPlan
    parameters: int
    cost: LayerCost
    share: float

    @property
    def combinations(self) -> int:
        """Combinations per block; 0 if the layer stays dense."""
        return self.plan.pattern.count if self.plan.pattern else 0


@dataclass(frozen=True)
class LayerTable:
    """Every Linear and Conv layer; ``parameters`` and ``macs`` are those of the whole model."""

    rows: tuple[LayerRow, ...]
    parameters: int
    macs: int

    @property
    def unassigned_share(self) -> float:
        """The share of multiply-adds that belong to no layer of the table."""
        return 1 - sum(row.cost.macs for row in self.rows) / self.macs if self.macs else 0.0


def layer_costs(model: nn.Module, in_shape: tuple[int, ...]) -> Mapping[str, LayerCost]:
    """The cost of every Linear, Conv1d and Conv2d, like ``model_cost``. Raises ValueError."""
    return model_cost(model, in_shape).layers


def layer_table(model: nn.Module, plans: Sequence[LayerPlan], cost: ModelCost) -> LayerTable:
    """The table of ``model``, given its ``plan_layers`` and ``model_cost``."""
    layers = dict(model.named_modules())
    rows = []
    for plan in plans:
        count = sum(parameter.numel() for parameter in layers[plan.name].parameters(recurse=False))
        layer = cost.layers[plan.name]
        rows.append(LayerRow(plan, count, layer, layer.macs / cost.macs if cost.macs else 0.0))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return LayerTable(tuple(rows), parameters, cost.macs)


def model_cost(model: nn.Module, in_shape: tuple[int, ...]) -> ModelCost:
    """The cost of a forward pass for one image of ``in_shape`` (channels, height, width).

    The weights may be on the meta device. Raises ValueError if the model does not accept the image.
    """
    layers = {name: at for name, at in model.named_modules() if isinstance(at, WEIGHTED)}
    calls: dict[str, list[int]] = {name: [] for name in layers}
    products = _Products(layers)
    with _hooked(layers, calls), products:
        run_on_zeros(model, in_shape)
    costs = {
        name: _layer_cost(layer, calls[name] or products.positions(name))
        for name, layer in layers.items()
    }
    return ModelCost(costs, max(products.macs, sum(cost.macs for cost in costs.values())))


class _Products(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the multiply-adds of this thread's operations with torch's formulas.

    Some models pass a layer's weight to a function instead of calling the layer, as attention does
    with its output projection, so the products of each weight are recorded too.

    torch's FlopCounterMode would add hooks to every module of the process, and so affect a training
    in another thread.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # otherwise torch imports its compiler, only to exclude this class

    def __init__(self, layers: Mapping[str, nn.Module]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._layers = layers
        self.macs = 0
        self._of_weight: dict[int, list[int]] = {}
        self._storages: dict[str, int] = {}

    def positions(self, name: str) -> list[int]:
        """The positions of every product with the weight of a layer, as if it were a call."""
        macs = self._of_weight.get(self._storages.get(name, 0), [])
        weights = _weights(self._layers[name])
        return [count // weights for count in macs] if weights else []

    def __torch_dispatch__(
        self,
        func: OpOverload,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        formula = FORMULAS.get(func._overloadpacket)
        if formula is not None:
            macs = formula(*args, **(kwargs or {}), out_val=out) // 2
            self.macs += macs
            self._record(macs, args)
        return out

    def _record(self, macs: int, args: tuple[Any, ...]) -> None:
        if not self._storages:  # the model has the tensors it computes with only during the call
            self._storages = {
                name: _storage(layer.weight)
                for name, layer in self._layers.items()
                if isinstance(layer._parameters.get("weight"), Tensor)
                and not isinstance(layer.weight, UninitializedParameter)
            }
        for key in {_storage(tensor) for tensor in args if isinstance(tensor, Tensor)}:
            self._of_weight.setdefault(key, []).append(macs)


def _storage(tensor: object) -> int:
    """The identity of a tensor's storage, which views such as the transposed weight share."""
    assert isinstance(tensor, Tensor)
    return int(tensor.untyped_storage()._cdata)


@contextmanager
def _hooked(layers: Mapping[str, nn.Module], calls: Mapping[str, list[int]]) -> Iterator[None]:
    """Append the positions of each call of a layer to its list in ``calls``."""

    def record(name: str, layer: nn.Module, output: Tensor) -> None:
        calls[name].append(_positions(layer, output))

    hooks = [
        layer.register_forward_hook(lambda layer, _, output, name=name: record(name, layer, output))
        for name, layer in layers.items()
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _layer_cost(layer: nn.Module, positions: Sequence[int]) -> LayerCost:
    total = sum(positions)
    return LayerCost(total, total * _weights(layer), len(positions))


def _positions(layer: nn.Module, output: Tensor) -> int:
    """The positions of an output, (..., O) of a Linear or (B, O, ...) of a convolution."""
    channels = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
    assert isinstance(channels, int)
    return output.numel() // channels if channels else 0


def _weights(layer: nn.Module) -> int:
    if isinstance(layer, nn.Linear):
        return layer.in_features * layer.out_features
    assert isinstance(layer, nn.Conv1d | nn.Conv2d)
    return layer.out_channels * (layer.in_channels // layer.groups) * prod(layer.kernel_size)
