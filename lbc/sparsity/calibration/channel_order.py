"""Reorder the channels between two layers of a network, whose function stays the same.

The input channels of a layer can be put into any order if they are the outputs of one other layer,
on whose way only operations lie that treat every channel alike, and nothing else reads them: the
outputs of that layer and the parameters of batch norms between are put into the same order. What a
residual connection adds to is read by several layers and stays as it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves

from lbc.sparsity.attachment import attached_layers
from lbc.sparsity.calibration.input_statistics import InputStatistics
from lbc.sparsity.calibration.matrix_form import input_parts, to_matrices, tokens
from lbc.sparsity.calibration.permutation import ChannelOrder, best_order
from lbc.sparsity.calibration.side_by_side import Call, calls_in_order
from lbc.sparsity.calibration.solution import Progress, Scores, ignore_progress
from lbc.sparsity.model_run import evaluating
from lbc.sparsity.sparse_layer import SparseLayer
from lbc.sparsity.weight_sites import CONVOLUTIONS

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
ALIKE = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish),
    *(nn.Sigmoid, nn.Tanh, nn.Softplus, nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh, nn.Identity),
    *(nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout),
    *(nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d),
    *(nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d),
    *(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d),
)
"""Modules that do the same to every channel."""

POOLS = tuple(kind for kind in ALIKE if "Pool" in kind.__name__)

ALIKE_FUNCTIONS = frozenset({
    torch.relu, torch.sigmoid, torch.tanh, F.relu, F.relu6, F.leaky_relu, F.elu, F.gelu, F.silu,
    F.mish, F.softplus, F.hardswish, F.hardsigmoid, F.hardtanh, F.dropout, F.dropout2d,
    "relu", "relu_", "sigmoid", "tanh",
})  # fmt: skip


OWN = ({"weight", "bias"}, {"parametrizations.weight.original", "bias"})
"""The parameters of a plain module, and of one with a layer that stores no scores."""

TOLERANCE = 1e-3
"""Relative difference of a network's outputs up to which they count as equal but for rounding."""


@dataclass(frozen=True)
class Channels:
    """The channels from the layer ``producer`` through the batch norms ``norms`` to ``consumer``.

    All are names of modules.
    """

    producer: str
    norms: tuple[str, ...]
    consumer: str


def reorder_channels(
    model: nn.Module,
    batches: Sequence[Tensor],
    scores: Scores,
    optimizer: torch.optim.Optimizer | None = None,
    progress: Progress = ignore_progress,
) -> dict[str, ChannelOrder]:
    """Put input channels into an order in which blocks keep larger ``scores``, where possible.

    Weights, batch norms and what ``optimizer`` keeps of them are reordered in place. Returns the
    order of every layer that changed. The outputs for two images are compared: an order that
    changes them by more than rounding is taken back. What ``progress`` raises is raised before
    anything changes.
    """
    ways = {way.consumer: way for way in movable_channels(model)}
    layers = {site.module: layer for site, layer in attached_layers(model).items()}
    found: dict[str, ChannelOrder] = {}
    modules = {name: model.get_submodule(name) for name in ways}

    def report() -> None:
        progress(len(found) / max(1, len(ways)))

    with torch.no_grad(), closing(calls_in_order(model, modules, batches, report)) as order:
        for name, calls in order:
            weight = _weight(model, name)
            found[name] = _order(modules[name], weight, layers[name], calls, scores, report)
    moved = {}
    for name, one in found.items():
        if one.kept > one.kept_before:
            before = _outputs(model, batches[0][:2])
            _move(model, ways[name], one.order, optimizer)
            if _equal(before, _outputs(model, batches[0][:2])):
                moved[name] = one
            else:
                _move(model, ways[name], one.order.argsort(), optimizer)
    return moved


def movable_channels(model: nn.Module) -> list[Channels]:
    """The channels between two layers of ``model`` that may be reordered, in its order.

    Only for layers with a pattern, in the parts of the model that torch.fx can trace.
    """
    sparse = {site.module for site, layer in attached_layers(model).items() if layer.searching}
    found = []
    with evaluating(model):
        for prefix, part, graph in _graphs("", model):
            nodes = [node for node in graph.nodes if node.op == "call_module"]
            called = Counter(node.target for node in nodes)
            for node in nodes:
                way = _way_to(part, node) if prefix + str(node.target) in sparse else None
                if way is not None and all(called[name] == 1 for name in way):
                    producer, *norms, consumer = (prefix + name for name in way)
                    found.append(Channels(producer, tuple(norms), consumer))
    return [way for way in found if _plain(model, (way.producer, *way.norms, way.consumer))]


def _graphs(prefix: str, module: nn.Module) -> Iterator[tuple[str, nn.Module, fx.Graph]]:
    """The graph of a module, or those of its children if its own code cannot be traced.

    With what precedes the names in it.
    """
    try:
        graph = fx.Tracer().trace(module)
    except Exception:  # whatever that code raises for what is not a tensor
        for name, child in module.named_children():
            yield from _graphs(f"{prefix}{name}.", child)
    else:
        yield prefix, module, graph


def _way_to(model: nn.Module, node: fx.Node) -> list[str] | None:
    """From the layer whose outputs the layer that ``node`` calls reads alone, through the batch
    norms between them, to that layer: the names of the modules."""
    way = [str(node.target)]
    consumer = model.get_submodule(way[0])
    while True:
        source = node.args[0] if node.args else None
        if not isinstance(source, fx.Node) or len(source.users) != 1:
            return None
        node = source
        if node.op != "call_module" and node.target in ALIKE_FUNCTIONS:
            continue
        if node.op != "call_module":
            return None
        module = model.get_submodule(str(node.target))
        if _same_kind(module, consumer):
            return [str(node.target), *way]
        if isinstance(module, NORMS):
            way.insert(0, str(node.target))
        elif not isinstance(module, ALIKE) or (
            isinstance(module, POOLS) and isinstance(consumer, nn.Linear)
        ):
            return None


def _same_kind(producer: nn.Module, consumer: nn.Module) -> bool:
    """Whether both are Linear, or both convolutions without groups: where channels are is known."""
    if isinstance(producer, nn.Linear):
        return isinstance(consumer, nn.Linear)
    return all(isinstance(one, CONVOLUTIONS) and one.groups == 1 for one in (producer, consumer))


def _plain(model: nn.Module, names: Sequence[str]) -> bool:
    """Whether the modules have the usual parameters only, and share them with no other."""
    everywhere = model.named_parameters(remove_duplicate=False)
    holders = Counter(id(parameter) for _, parameter in everywhere)
    for name in names:
        own = dict(model.get_submodule(name).named_parameters())
        if not any(own.keys() <= usual for usual in OWN):
            return False
        if any(holders[id(parameter)] > 1 for parameter in own.values()):
            return False
    return True


def _weight(model: nn.Module, name: str) -> nn.Parameter:
    own = dict(model.get_submodule(name).named_parameters())
    return own["weight"] if "weight" in own else own["parametrizations.weight.original"]


def _order(
    module: nn.Module,
    weight: Tensor,
    layer: SparseLayer,
    calls: Sequence[Call],
    scores: Scores,
    report: Callable[[], object],
) -> ChannelOrder:
    precise = weight.detach().to(torch.promote_types(weight.dtype, torch.float32))
    columns = prod(weight.shape[1:])
    statistics = InputStatistics(columns, False, weight.device, precise.dtype)
    for call in calls:
        (part,) = input_parts(module, "weight", call.args, call.kwargs)
        statistics.add(len(part), tokens(module, part))
        report()
    judged = scores(to_matrices(precise, 1)[0], statistics)
    return best_order(judged.reshape(-1, weight.shape[1]), layer.pattern, report)


@torch.no_grad()
def _move(
    model: nn.Module, way: Channels, order: Tensor, optimizer: torch.optim.Optimizer | None
) -> None:
    moved: list[tuple[Tensor, int]] = [(_weight(model, way.consumer), 1)]
    moved += [(_weight(model, way.producer), 0)]
    biases = [model.get_submodule(way.producer).bias]
    for name in way.norms:
        norm = model.get_submodule(name)
        biases += [norm.weight, norm.bias, norm.running_mean, norm.running_var]
    moved += [(bias, 0) for bias in biases if isinstance(bias, Tensor)]
    for tensor, dim in moved:
        state = {} if optimizer is None else optimizer.state.get(tensor, {})
        for one in (tensor, *state.values()):
            if isinstance(one, Tensor) and one.shape == tensor.shape:
                one.copy_(one.index_select(dim, order))


def _outputs(model: nn.Module, images: Tensor) -> list[Tensor]:
    with torch.no_grad(), evaluating(model):
        return [one for one in tree_leaves(model(images)) if isinstance(one, Tensor)]


def _equal(before: Sequence[Tensor], after: Sequence[Tensor]) -> bool:
    pairs = zip(before, after, strict=True)
    return all(float((a - b).norm()) <= TOLERANCE * float(a.norm()) for a, b in pairs)
