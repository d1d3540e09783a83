"""How much pruning has changed the outputs of each layer, where the method has not measured it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from lbc.sparsity.attachment import attached_layers
from lbc.sparsity.calibration.matrix_form import input_parts, to_matrices, tokens, unobservable
from lbc.sparsity.weight_sites import Site

Energies = list[float]
"""‖(W − W̃) X‖² and ‖W X‖², summed over the calls so far."""


@torch.no_grad()
def output_errors(
    model: nn.Module,
    batches: Iterable[Any],
    passed: Callable[[], object] = lambda: None,
) -> dict[str, float]:
    """‖(W − W̃) X‖² / ‖W X‖² of every layer, W̃ its weight, W the one below its mask.

    X are the inputs that it gets from the pruned layers before it. ``batches`` are arguments of the
    model, which is in evaluation mode; ``passed`` is called after each. Layers whose inputs cannot
    be seen, or get none, are left out, and so are those whose outputs are not finite.
    """
    energies: dict[str, Energies] = {}
    with ExitStack() as hooks:
        for site, layer in attached_layers(model).items():
            module = model.get_submodule(site.module)
            if not unobservable(module, site):
                before = site.canonical(model.get_parameter(f"{site.prefix}original"))
                after = site.canonical(getattr(module, site.tensor))
                energies[layer.name] = [0.0, 0.0]
                hook = _hook(site, before, before - after, energies[layer.name])
                handle = module.register_forward_pre_hook(hook, with_kwargs=True)
                hooks.callback(handle.remove)
        for batch in batches:
            model(batch)
            passed()
    return {name: lost / whole for name, (lost, whole) in energies.items() if 0 < whole < torch.inf}


def _hook(
    site: Site, weight: Tensor, difference: Tensor, energies: Energies
) -> Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], None]:
    def add(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        parts = input_parts(module, site.tensor, args, kwargs)
        for at, matrix in enumerate((difference, weight)):
            for rows, part in zip(to_matrices(matrix, len(parts)), parts, strict=True):
                for columns in tokens(module, part):
                    energies[at] += float((columns.to(rows.dtype) @ rows.T).square().sum())

    return add
