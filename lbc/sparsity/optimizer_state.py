"""What the optimiser must hold for the scores, and what it keeps of removed combinations."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from weakref import ref

import torch
from torch import Tensor

from lbc.sparsity.sparse_layer import SparseLayer
from lbc.sparsity.trained_scores import PerWeight

Trained = tuple[Tensor, SparseLayer]
"""The dense weight below a mask, and its layer."""


def check_optimizer(optimizer: torch.optim.Optimizer, trained: Mapping[str, Trained]) -> None:
    """Raise ValueError if the optimiser trains weights of searching layers without their scores.

    Warns if the optimiser is not SGD and scores are kept per weight: they are no longer exact.
    """
    known = {id(one) for group in optimizer.param_groups for one in group["params"]}
    searching = {name: pair for name, pair in trained.items() if pair[1].searching}
    lacking = [
        name
        for name, (_, layer) in searching.items()
        if any(one.requires_grad and id(one) not in known for one in layer.score_parameters())
    ]
    if any(id(trained[name][0]) in known for name in lacking) or 0 < len(searching) == len(lacking):
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        raise ValueError(
            f"The optimiser does not train the scores of layer {lacking[0]!r}{more}: build it "
            "from model.parameters() after sparsify(), or add them with "
            "optimizer.add_param_group({'params': sparsifier.score_parameters()})."
        )
    inner = getattr(optimizer, "optimizer", optimizer)  # accelerate wraps the optimiser
    if not isinstance(inner, torch.optim.SGD) and any(
        isinstance(layer, PerWeight) for _, layer in searching.values()
    ):
        warnings.warn(
            f"Scores per weight are exact under SGD only; under {type(inner).__name__} they "
            "approximate the published method. Pass scores='per_combination' to sparsify() for "
            "the exact one.",
            stacklevel=5,
        )


Versions = Mapping[str, tuple[ref[Tensor], int]]
"""Weights by layer, and how often each had been changed in place."""


def weight_versions(trained: Mapping[str, Trained]) -> Versions:
    """The present versions of the weights."""
    return {name: (ref(weight), weight._version) for name, (weight, _) in trained.items()}


def warn_of_untrained(trained: Mapping[str, Trained], versions: Versions) -> None:
    """Warn if weights have changed since ``versions`` and no layer's scores ever have."""
    now = weight_versions(trained)
    known = {name: at for name, at in versions.items() if name in now and at[0]() is now[name][0]()}
    if all(now[name] == at for name, at in known.items()):
        return
    scores = [one for _, layer in trained.values() for one in layer.score_parameters()]
    if scores and all(bool((one == one.flatten()[:1]).all()) for one in scores):
        warnings.warn(
            "Weights have changed since sparsify(), but no score has ever been updated, so the "
            "choice of combinations is arbitrary: build the optimiser from model.parameters() "
            "after sparsify().",
            stacklevel=4,
        )


def forget_removed(optimizer: torch.optim.Optimizer | None, layer: SparseLayer) -> None:
    """Drop what the optimiser keeps of removed combinations, or of scores that have frozen."""
    if optimizer is None:
        return
    for parameter in layer.score_parameters():
        if not parameter.requires_grad:
            optimizer.state.pop(parameter, None)
        else:
            layer.forget_removed(optimizer.state.get(parameter, {}))
