"""Which weights read a model's input and which make its outputs, seen while the model runs.

Every tensor of the run is labelled with the weights whose products it was last computed from. A
product with a weight starts a new label, every other operation joins those of its operands; so an
output's label names the layers that make it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from lbc.sparsity.layer_roles import Roles
from lbc.sparsity.model_run import run_once
from lbc.sparsity.weight_sites import WeightSite, find_sites
from lbc.sparsity.zero_products import zero_product

aten = torch.ops.aten
LOOKUPS = frozenset({aten.embedding, aten._embedding_bag, aten._embedding_bag_forward_only})
WITH_ADDEND = frozenset({aten.addmm, aten.baddbmm, aten.addmv})
PRODUCTS = LOOKUPS | frozenset(
    getattr(aten, name)
    for name in (
        *("mm", "bmm", "mv", "matmul", "linear", "addmm", "baddbmm", "addmv", "_trilinear"),
        *("convolution", "_convolution", "mkldnn_rnn_layer", "_cudnn_rnn"),
        *("_native_multi_head_attention", "_transformer_encoder_layer_fwd"),
    )
)
"""The operations in which a weight multiplies what a layer computes, or is looked up by it."""


@dataclass(frozen=True)
class _Label:
    """What a tensor was computed from.

    ``last`` are the weights of the last products on the ways to it, ``all`` those of every
    product. A tensor computed from weights alone, like a transpose, ``is_weight``.
    """

    last: frozenset[str] = frozenset()
    all: frozenset[str] = frozenset()
    is_weight: bool = False


class RoleTrace(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Labels the tensors of one run of a model; ``roles`` afterwards says what was found."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else torch loads its compiler, only to hide this class from it

    def __init__(self, model: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._sites: Mapping[str, WeightSite] = {site.name: site for site in find_sites(model)}
        self._labels: dict[int, _Label] = {}
        self._alive: list[object] = []
        """The labelled storages: a freed one would leave its address, and label, to another."""
        self._before: dict[str, set[str]] = {}
        """The weights whose products each weight's own operand was computed from."""
        self._convolutions: dict[str, bool] = {}
        """The convolutions in order of execution, and whether they read the input itself."""
        self.roles = Roles()

    def run(
        self, model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any] | None = None
    ) -> object:
        """Call ``model`` once, as ``run_once`` does, and find the roles of its weights."""

        def label(tensors: Mapping[str, Tensor]) -> None:
            for name, site in self._sites.items():
                for parameter in site.parameters().keys() & tensors.keys():
                    self._add_weight(tensors[parameter], name)
            for tensor in tensors_in((args, kwargs)):
                self._set(tensor, _Label())

        with self:
            output = run_once(model, args, kwargs, label)
        self.roles = self._found([self._of(tensor) for tensor in tensors_in(output)])
        return output

    def __torch_dispatch__(
        self,
        func: OpOverload,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        out = zero_product(func, args)
        if out is None:
            out = func(*args, **(kwargs or {}))
        label = self._result(func, list(tensors_in((args, kwargs))))
        if label is not None:
            for tensor in tensors_in(out):
                self._set(tensor, label)
        return out

    def _result(self, func: OpOverload, operands: list[Tensor]) -> _Label | None:
        """The label of an operation's result; None for one that depends on nothing labelled."""
        packet, labels = func._overloadpacket, [self._of(tensor) for tensor in operands]
        if packet not in PRODUCTS:
            return _join(labels)
        count = int(packet in WITH_ADDEND)
        addends, factors = labels[:count], labels[count:]
        weights = _join(at for at in factors if at is not None and at.is_weight)
        data = _join(at for at in factors if at is not None and not at.is_weight)
        if weights is None or data is None:
            return _join(labels)
        last = self._used(packet, weights.last)
        for name in last:
            self._before.setdefault(name, set()).update(data.all)
            if self._sites[name].is_convolution:
                self._convolutions.setdefault(name, not data.all)
        return _join([_Label(last, last | data.all), *addends])

    def _found(self, outputs: Iterable[_Label | None]) -> Roles:
        made = [at.last for at in outputs if at is not None and at.last and not at.is_weight]
        ends = frozenset[str]().union(*made)
        heads = {
            name
            for last in made
            # The sum of a layer and of those before it, like a residual stream, has no head.
            if not any(self._feeds(one, other) for one in last for other in last)
            for name in last
            # An output that other outputs are computed from, like keys and values, is none.
            if not any(self._feeds(name, end) for end in ends)
        }
        reading = [name for name, reads_input in self._convolutions.items() if reads_input]
        first = reading or list(self._convolutions)[:1]
        return Roles(frozenset(first) if first else None, frozenset(heads) if made else None)

    def weights_in(self, func: OpOverload, operands: object) -> dict[str, int]:
        """The weights that an operation multiplies by, by name, and how much of them, in numbers.

        Less than the whole where attention multiplies by a third of its input projection.
        """
        labels = [(tensor, self._of(tensor)) for tensor in tensors_in(operands)]
        weights = [(tensor, at) for tensor, at in labels if at is not None and at.is_weight]
        names = frozenset[str]().union(*(at.last for _, at in weights))
        size = sum(tensor.numel() for tensor, _ in weights)
        return dict.fromkeys(self._used(func._overloadpacket, names), size)

    def _used(self, packet: object, names: frozenset[str]) -> frozenset[str]:
        """Of an embedding and a layer that share a weight, the one that an operation is part of."""
        looks_up = packet in LOOKUPS
        return frozenset(at for at in names if self._sites[at].is_embedding is looks_up) or names

    def _feeds(self, one: str, other: str) -> bool:
        return one != other and one in self._before[other]

    def _of(self, tensor: Tensor) -> _Label | None:
        return self._labels.get(_address(tensor))

    def _add_weight(self, tensor: Tensor, name: str) -> None:
        shared = self._of(tensor)
        names = shared.last if shared else frozenset[str]()
        embedding = self._sites[name].is_embedding
        if not any(self._sites[other].is_embedding is embedding for other in names):
            names |= {name}  # several layers with one weight are represented by the first
        self._labels[_address(tensor)] = _Label(names, is_weight=True)  # alive while the model runs

    def _set(self, tensor: Tensor, label: _Label) -> None:
        address = _address(tensor)
        known = self._labels.get(address)
        if not address or (known is not None and known.is_weight):
            return  # a parameter stays one, though an operation in place returns it
        if known is None:
            self._alive.append(tensor.untyped_storage())
        self._labels[address] = label


def trace_roles(model: nn.Module, example_inputs: object) -> Roles:
    """Run ``model`` once on ``example_inputs``, and find what reads them and makes the outputs.

    A tensor is the only argument, a tuple or list the positional ones, a mapping those by
    keyword. The model is evaluated with ``run_once``, so it stays as it was. Where a weight is not
    yet initialised nothing is run, since that would initialise it.

    Raises ValueError with one sentence where the model cannot take the inputs.
    """
    with torch.inference_mode(False):  # which neither the model nor inference mode can then change
        inputs = tree_map_only(Tensor, Tensor.clone, example_inputs)
    args: tuple[Any, ...] = (inputs,)
    kwargs: Mapping[str, Any] = {}
    if isinstance(inputs, Mapping):
        args, kwargs = (), inputs
    elif isinstance(inputs, tuple | list):
        args = tuple(inputs)
    trace = RoleTrace(model)
    if any(is_lazy(parameter) for parameter in model.parameters()):
        return trace.roles
    try:
        trace.run(model, args, kwargs)
    except Exception as error:
        reason = (str(error).strip() or "no reason given").splitlines()[0]
        raise ValueError(
            f"The model cannot run on example_inputs: {type(error).__name__}: {reason}. Give a "
            "tensor, a tuple of positional or a mapping of keyword arguments, as its forward "
            "takes them."
        ) from error
    return trace.roles


def tensors_in(value: object, depth: int = 8) -> Iterator[Tensor]:
    """Every tensor in nested containers and plain objects, like the outputs of transformers."""
    if isinstance(value, Tensor):
        yield value
    elif depth and isinstance(value, Mapping):
        for inner in value.values():
            yield from tensors_in(inner, depth - 1)
    elif depth and isinstance(value, tuple | list | set | frozenset):
        for inner in value:
            yield from tensors_in(inner, depth - 1)
    elif depth and hasattr(value, "__dict__") and not isinstance(value, type | nn.Module):
        yield from tensors_in(vars(value), depth - 1)


def _join(labels: Iterable[_Label | None]) -> _Label | None:
    """The label of what is computed from tensors with these: of the data if there are any."""
    known = [at for at in labels if at is not None]
    data = [at for at in known if not at.is_weight]
    joined = data or known
    if len(joined) < 2:
        return joined[0] if joined else None
    last = frozenset[str]().union(*(at.last for at in joined))
    return _Label(last, last.union(*(at.all for at in joined)), not data)


def _address(tensor: Tensor) -> int:
    """The same for a tensor and its views; 0 for a sparse tensor, which has no storage."""
    try:
        return int(tensor.untyped_storage()._cdata)
    except (NotImplementedError, RuntimeError):
        return 0
