"""What each layer of a model is, holds and costs: the layer table."""

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

from lbc.models.probe import trial
from lbc.sparsity.layer_plan import WEIGHTED, LayerPlan

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
    """What one image asks of a layer, over all its calls.

    ``positions`` counts the outputs at which all the weights are applied: pixels of a convolution,
    tokens of a linear layer. So ``macs``, its multiply-adds, are positions × weights, and the
    layer is a product of (out, in·kernel) with (in·kernel, positions). A layer that the forward
    pass does not use has zeros.
    """

    positions: int = 0
    macs: int = 0
    calls: int = 0


@dataclass(frozen=True)
class ModelCost:
    """What one image asks of every layer, by name, and of the model in all.

    ``macs`` counts every product of the forward pass, also those between activations, as in
    attention, which belong to no layer.
    """

    layers: Mapping[str, LayerCost]
    macs: int


@dataclass(frozen=True)
class LayerRow:
    """One layer: its plan, its weights and biases, its cost, its share of all multiply-adds."""

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
    """Every Linear and Conv layer; ``parameters`` and ``macs`` are those of the whole model."""

    rows: tuple[LayerRow, ...]
    parameters: int
    macs: int

    @property
    def elsewhere(self) -> float:
        """Share of the multiply-adds that belong to no layer of the table."""
        return 1 - sum(row.cost.macs for row in self.rows) / self.macs if self.macs else 0.0


def layer_costs(model: nn.Module, in_shape: tuple[int, ...]) -> Mapping[str, LayerCost]:
    """The cost of every Linear, Conv1d and Conv2d, by name. Raises as ``model_cost``."""
    return model_cost(model, in_shape).layers


def layer_table(model: nn.Module, plans: Sequence[LayerPlan], cost: ModelCost) -> LayerTable:
    """The table of ``model``, from its own ``plan_layers`` and ``model_cost``."""
    layers = dict(model.named_modules())
    rows = []
    for plan in plans:
        own = sum(parameter.numel() for parameter in layers[plan.name].parameters(recurse=False))
        layer = cost.layers[plan.name]
        rows.append(LayerRow(plan, own, layer, layer.macs / cost.macs if cost.macs else 0.0))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return LayerTable(tuple(rows), parameters, cost.macs)


def model_cost(model: nn.Module, in_shape: tuple[int, ...]) -> ModelCost:
    """What one image of ``in_shape`` (channels, height, width) costs.

    Counted during a forward pass, as ``trial`` does it; the weights may be on the meta device.
    Raises ValueError where the model cannot take such an image.
    """
    layers = {name: at for name, at in model.named_modules() if isinstance(at, WEIGHTED)}
    calls: dict[str, list[int]] = {name: [] for name in layers}
    products = _Products(layers)
    with _hooked(layers, calls), products:
        trial(model, in_shape)
    costs = {
        name: _cost(layer, calls[name] or products.positions(name))
        for name, layer in layers.items()
    }
    return ModelCost(costs, max(products.macs, sum(cost.macs for cost in costs.values())))


class _Products(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the multiply-adds of this thread's operations, by torch's own formulas.

    Some models give a layer's weight to a function instead of calling the layer, as attention
    does with its output projection; so the products of each weight are added up too.

    torch's FlopCounterMode would put hooks on every module of the process, and so into a training
    that goes on in another thread.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else torch loads its compiler, only to hide this class from it

    def __init__(self, layers: Mapping[str, nn.Module]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._layers = layers
        self.macs = 0
        self._of_weight: dict[int, list[int]] = {}
        self._storages: dict[str, int] = {}

    def positions(self, name: str) -> list[int]:
        """What every product with the weight of a layer computed, like a call of the layer."""
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
            self._note(macs, args)
        return out

    def _note(self, macs: int, args: tuple[Any, ...]) -> None:
        if not self._storages:  # only now does the model hold the tensors it computes with
            self._storages = {
                name: _storage(layer.weight)
                for name, layer in self._layers.items()
                if isinstance(layer._parameters.get("weight"), Tensor)
                and not isinstance(layer.weight, UninitializedParameter)
            }
        for key in {_storage(tensor) for tensor in args if isinstance(tensor, Tensor)}:
            self._of_weight.setdefault(key, []).append(macs)


def _storage(tensor: object) -> int:
    """The same for a tensor and its views, like the transpose in which a weight is multiplied."""
    assert isinstance(tensor, Tensor)
    return int(tensor.untyped_storage()._cdata)


@contextmanager
def _hooked(layers: Mapping[str, nn.Module], calls: Mapping[str, list[int]]) -> Iterator[None]:
    """Each call of a layer adds the positions it computed to the layer's list."""

    def note(name: str, layer: nn.Module, output: Tensor) -> None:
        calls[name].append(_positions(layer, output))

    hooks = [
        layer.register_forward_hook(lambda layer, _, output, name=name: note(name, layer, output))
        for name, layer in layers.items()
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _cost(layer: nn.Module, positions: Sequence[int]) -> LayerCost:
    total = sum(positions)
    return LayerCost(total, total * _weights(layer), len(positions))


def _positions(layer: nn.Module, output: Tensor) -> int:
    """How many outputs are not channels, of a Linear's (..., O) or a convolution's (B, O, ...)."""
    channels = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
    assert isinstance(channels, int)
    return output.numel() // channels if channels else 0


def _weights(layer: nn.Module) -> int:
    if isinstance(layer, nn.Linear):
        return layer.in_features * layer.out_features
    assert isinstance(layer, nn.Conv1d | nn.Conv2d)
    return layer.out_channels * (layer.in_channels // layer.groups) * prod(layer.kernel_size)
