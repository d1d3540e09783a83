"""Prune every sparse layer of a model at once, in the order in which data pass through them.

The inputs of a layer are those that the layers before it make once they are pruned, as in
SparseGPT, Wanda and ADMM.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lbc.sparsity.attachment import attached_layers
from lbc.sparsity.calibration.convolution_windows import Windows
from lbc.sparsity.calibration.input_statistics import InputStatistics
from lbc.sparsity.calibration.matrix_form import (
    from_matrices,
    gram_chunks,
    input_parts,
    to_matrices,
    tokens,
    unobservable,
)
from lbc.sparsity.calibration.side_by_side import Call, calls_in_order
from lbc.sparsity.calibration.solution import Progress, Solver, ignore_progress, part_of
from lbc.sparsity.live_sets import LiveSets
from lbc.sparsity.sparse_layer import SparseLayer
from lbc.sparsity.weight_sites import Site


@dataclass(frozen=True)
class PrunedLayer:
    """A layer after pruning: its name, how many inputs it was judged by, and its output error.

    ``error`` is ‖(W − W̃) X‖² / ‖W X‖², None where the Gram matrix was not collected.
    """

    name: str
    tokens: int
    error: float | None


def check_observable(model: nn.Module) -> None:
    """Raise ValueError naming a sparse layer of ``model`` whose inputs cannot be observed."""
    for site, layer in attached_layers(model).items():
        reason = unobservable(model.get_submodule(site.module), site)
        if reason:
            raise ValueError(
                f"The inputs of layer {layer.name!r} cannot be observed for calibration: {reason}. "
                "Leave it dense, or choose a method without calibration."
            )


def check_inputs(model: nn.Module, batch: Any) -> None:
    """Raise ValueError naming the layers of ``model`` that could not be pruned by their inputs.

    Those whose inputs cannot be observed, and those that a pass of ``batch`` does not reach.
    """
    check_observable(model)
    layers = attached_layers(model)
    modules = {site.module: model.get_submodule(site.module) for site in layers}
    with closing(calls_in_order(model, modules, [batch])) as order:
        reached = {module for module, _ in order}
    _check_reached([layer for site, layer in layers.items() if site.module not in reached])


def _check_reached(missed: Iterable[SparseLayer]) -> None:
    names = ", ".join(repr(layer.name) for layer in missed)
    if names:
        raise ValueError(f"No calibration input reaches {names}: leave such layers dense.")


def prune_in_order(
    model: nn.Module,
    batches: Iterable[Any],
    solver: Solver,
    gram: bool = True,
    pruned: Callable[[PrunedLayer], object] = lambda _: None,
    progress: Progress = ignore_progress,
) -> list[PrunedLayer]:
    """Let ``solver`` decide every layer of ``model`` that is still searching, in one pass.

    ``batches`` are arguments of the model. Without ``gram``, for solvers that need no Gram matrix,
    no error is measured. ``pruned`` is called after every layer. Weights of 16 bits are solved for
    in float32.

    Raises ValueError, with the model as it was, if there is no batch, a layer's inputs cannot be
    observed or are not finite, or a layer is never reached; and so whatever ``progress`` raises.
    """
    layers = {site: layer for site, layer in attached_layers(model).items() if layer.searching}
    check_observable(model)
    given = list(batches)
    if not given:
        raise ValueError("There is nothing to calibrate with: give at least one batch.")
    modules = {site.module: model.get_submodule(site.module) for site in layers}
    known = _KnownInputs(gram)
    results: list[PrunedLayer] = []
    undo: list[Callable[[], object]] = []
    count = max(1, len(layers))

    def report() -> None:
        progress(len(results) / count)

    try:
        with torch.no_grad(), closing(calls_in_order(model, modules, given, report)) as order:
            for module, calls in order:
                for site in [site for site in layers if site.module == module]:
                    weight = model.get_parameter(f"{site.prefix}original")
                    layer = layers.pop(site)
                    undo.append(_restoring(layer, weight))
                    of_layer = part_of(progress, len(results), count)
                    statistics = known.statistics(
                        modules[module], site.tensor, calls, weight.dtype, part_of(of_layer, 0, 2)
                    )
                    of_solver = part_of(of_layer, 1, 2)
                    results.append(_prune(layer, site, weight, statistics, solver, of_solver))
                    pruned(results[-1])
                    report()
        _check_reached(layers.values())
    except BaseException:
        for step in undo:
            step()
        raise
    return results


@torch.no_grad()
def _prune(
    layer: SparseLayer,
    site: Site,
    parameter: Tensor,
    statistics: Sequence[InputStatistics],
    solver: Solver,
    progress: Progress,
) -> PrunedLayer:
    if not all(one.finite for one in statistics):
        raise ValueError(
            f"The inputs of layer {layer.name!r} are not finite with these weights and calibration "
            "data, so it cannot be pruned."
        )
    weights = to_matrices(site.canonical(parameter), len(statistics)).to(statistics[0].dtype)
    solutions = [
        solver(weight, one, layer.pattern, part_of(progress, number, len(weights)))
        for number, (weight, one) in enumerate(zip(weights, statistics, strict=True))
    ]
    mask = from_matrices(torch.stack([one.mask for one in solutions]), layer.shape)
    results = [
        one.weight if one.weight is not None else weight * one.mask
        for one, weight in zip(solutions, weights, strict=True)
    ]
    error = _error(weights, results, statistics)  # before the parameter changes, which it may view
    if any(one.weight is not None for one in solutions):
        solved = from_matrices(torch.stack(results), layer.shape)
        parameter.copy_(site.canonical(solved))
    decide(layer, mask)
    return PrunedLayer(layer.name, max(one.tokens for one in statistics), error)


def decide(layer: SparseLayer, mask: Tensor) -> None:
    """Let a mask of exactly N per block, (O, I, *kernel), be the choice of ``layer``."""
    winners = layer.pattern.index_of(layer.pattern.to_blocks(mask)).int()
    live_sets = LiveSets(layer.blocks, layer.pattern.count, mask.device, winners=winners)
    layer.apply_choice(live_sets, torch.empty_like(layer.mask).copy_(mask))


def _error(
    weights: Sequence[Tensor] | Tensor,
    results: Sequence[Tensor],
    statistics: Sequence[InputStatistics],
) -> float | None:
    if not all(one.has_gram for one in statistics):
        return None
    energies = [
        (one.output_energy(weight - result), one.output_energy(weight))
        for weight, result, one in zip(weights, results, statistics, strict=True)
    ]
    lost, whole = (sum(values) for values in zip(*energies, strict=True))
    return lost / whole if whole > 0 else 0.0


def _restoring(layer: SparseLayer, parameter: Tensor) -> Callable[[], object]:
    """What takes back all that pruning does to a layer."""
    live_sets, mask, before = layer.live_sets, layer.mask, parameter.detach().clone()

    def restore() -> None:
        layer.apply_choice(live_sets, mask)
        with torch.no_grad():
            parameter.copy_(before)

    return restore


class _KnownInputs:
    """The statistics of the last inputs, for layers that multiply the same ones, as q, k and v."""

    def __init__(self, gram: bool) -> None:
        self._gram = gram
        self._parts: list[list[Tensor]] = []  # kept, lest others get their memory
        self._key: object = None
        self._statistics: list[InputStatistics] = []

    def statistics(
        self,
        module: nn.Module,
        tensor: str,
        calls: Sequence[Call],
        dtype: torch.dtype,
        progress: Progress,
    ) -> list[InputStatistics]:
        """One for each of the matrices that ``tensor`` consists of."""
        parts = [input_parts(module, tensor, call.args, call.kwargs) for call in calls]
        key = [_geometry(module), [[_identity(one) for one in batch] for batch in parts]]
        if key != self._key:
            self._statistics = []  # before others are made
            precise, inputs = torch.promote_types(dtype, torch.float32), [*zip(*parts, strict=True)]
            self._statistics = [
                self._collect(module, batches, precise, part_of(progress, number, len(inputs)))
                for number, batches in enumerate(inputs)
            ]
            self._key, self._parts = key, parts
        return self._statistics

    def _collect(
        self,
        module: nn.Module,
        batches: Sequence[Tensor],
        dtype: torch.dtype,
        progress: Progress,
    ) -> InputStatistics:
        first = next(tokens(module, batches[0][:1]))
        statistics = InputStatistics(first.shape[1], self._gram, first.device, dtype)
        chunks = gram_chunks if self._gram else tokens

        def reported(number: int) -> Iterator[Tensor | Windows]:
            for chunk in chunks(module, batches[number]):
                progress(number / len(batches))
                yield chunk

        for number, batch in enumerate(batches):
            statistics.add(len(batch), reported(number))
        return statistics


def _identity(tensor: Tensor) -> object:
    return tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype, tensor._version


def _geometry(module: nn.Module) -> object:
    """What decides which patches a convolution multiplies."""
    names = ("kernel_size", "stride", "padding", "dilation", "padding_mode", "output_padding")
    return [str(getattr(module, name, "")) for name in names] + [
        isinstance(module, nn.modules.conv._ConvTransposeNd)
    ]
