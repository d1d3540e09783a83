"""One removal over all layers: every choice is made before anything changes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor

from lbc.sparsity.optimizer_state import describe_untrained, forget_removed, untrained
from lbc.sparsity.sparse_layer import SparseLayer, whole

Progress = Callable[[float], object]
"""Called with the completed fraction of a removal, 0 to 1."""


def check_finite(layers: Iterable[SparseLayer]) -> None:
    """Raise FloatingPointError if a score that still competes is not finite.

    Scores of all searching layers count, due or not: the sooner a diverged search ends the better.
    """
    for layer in layers:
        finite = all(bool(whole(at.detach()).isfinite().all()) for at in layer.score_parameters())
        if layer.searching and not finite:
            raise FloatingPointError(
                f"A score of layer {layer.name!r} is not a finite number, so nothing was "
                "removed: lower the learning rate, or clip the gradients."
            )


def remove_combinations(
    layers: Mapping[str, SparseLayer],
    weight: Callable[[str], Tensor],
    wanted: Mapping[str, int],
    optimizer: torch.optim.Optimizer | None,
    progress: Progress,
) -> None:
    """Keep the ``wanted`` best combinations in every block of each layer.

    ``weight`` returns the weight of a layer in the order (O, I, *kernel). Whatever ``progress``
    raises cancels the removal; nothing has been removed then.
    """
    before = {name: layer.live_count for name, layer in layers.items()}
    due = {
        name: layer
        for name, layer in layers.items()
        if layer.searching and wanted[name] <= before[name]
    }
    removing = [name for name in due if wanted[name] < before[name]]
    if names := untrained({name: due[name] for name in removing}):
        warnings.warn(describe_untrained(names), stacklevel=4)
    scored = _as_fractions(sum(due[at].blocks * due[at].pattern.count for at in removing), progress)
    chosen = {name: layer.choose(wanted[name], scored, weight(name)) for name, layer in due.items()}
    for name, layer in due.items():
        layer.apply_choice(*chosen.pop(name))
        if layer.live_count < before[name]:
            forget_removed(optimizer, layer)


def _as_fractions(total: int, progress: Progress) -> Callable[[int], None]:
    """Turn numbers of scores into fractions of all ``total``."""
    done = 0

    def scored(count: int) -> None:
        nonlocal done
        done += count
        if total:
            progress(done / total)

    return scored
