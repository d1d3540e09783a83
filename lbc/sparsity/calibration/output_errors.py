"""How much pruning has changed the outputs of each layer, where the method has not measured it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from typing import Any

import torch
from torch import Tensor, nn

from lbc.sparsity.attachment import attached_layers
from lbc.sparsity.calibration.matrix_form import input_parts, to_matrices, tokens, unobservable
from lbc.sparsity.calibration.side_by_side import Call, calls_in_order
from lbc.sparsity.calibration.solution import Progress, ignore_progress
from lbc.sparsity.weight_sites import Site


@torch.no_grad()
def output_errors(
    model: nn.Module, batches: Iterable[Any], progress: Progress = ignore_progress
) -> dict[str, float]:
    """‖(W − W̃) X‖² / ‖W X‖² of every layer, W̃ its weight, W the one below its mask.

    X are the inputs that it gets from the pruned layers before it. ``batches`` are arguments of the
    model; ``progress`` may raise to end the comparison. Layers whose inputs cannot be seen, or get
    none, are left out, and so are those whose outputs are not finite.
    """
    errors: dict[str, float] = {}
    layers = attached_layers(model)
    modules = {site.module: model.get_submodule(site.module) for site in layers}
    sites = [site for site in layers if not unobservable(modules[site.module], site)]
    seen = {site.module: modules[site.module] for site in sites}
    measured = 0

    def report() -> None:
        progress(measured / max(1, len(layers)))

    with closing(calls_in_order(model, seen, list(batches), report)) as order:
        for name, calls in order:
            for site in [site for site in sites if site.module == name]:
                whole = model.get_parameter(f"{site.prefix}original")
                lost = _energy(seen[name], site, whole - getattr(seen[name], site.tensor), calls)
                energy = _energy(seen[name], site, whole, calls)
                if 0 < energy < torch.inf:
                    errors[layers[site].name] = lost / energy
                measured += 1
                report()
    return errors


def _energy(module: nn.Module, site: Site, weight: Tensor, calls: Sequence[Call]) -> float:
    """‖W X‖² for the inputs of all calls."""
    energy = 0.0
    for call in calls:
        parts = input_parts(module, site.tensor, call.args, call.kwargs)
        matrices = to_matrices(site.canonical(weight), len(parts))
        for rows, part in zip(matrices, parts, strict=True):
            for columns in tokens(module, part):
                energy += float((columns.to(rows.dtype) @ rows.T).square().sum())
    return energy
