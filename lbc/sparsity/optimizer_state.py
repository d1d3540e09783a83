"""What the optimiser must hold for the scores, and what it keeps of removed combinations."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from lbc.sparsity.sparse_layer import SparseLayer, whole
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


def untrained(layers: Mapping[str, SparseLayer]) -> list[str]:
    """The names of layers with scores none of which has ever been updated."""
    return [name for name, layer in layers.items() if any(map(_uniform, layer.score_parameters()))]


def describe_untrained(names: Sequence[str]) -> str:
    """What ``untrained`` found, as a sentence with its remedy."""
    return (
        f"No score of layer {', '.join(map(repr, names))} has ever been updated, so its largest "
        "weights are kept: if it should learn, see that it takes part in the loss, and build the "
        "optimiser from model.parameters() after sparsify()."
    )


def _uniform(scores: Tensor) -> bool:
    values = whole(scores.detach())
    first = values[(0,) * values.ndim]
    # One row first: all is compared only where that is equal, which is rare.
    return bool((values[:1] == first).all()) and bool((values == first).all())


def forget_removed(optimizer: torch.optim.Optimizer | None, layer: SparseLayer) -> None:
    """Drop what the optimiser keeps of removed combinations, or of scores that have frozen."""
    if optimizer is None:
        return
    for parameter in layer.score_parameters():
        if not parameter.requires_grad:
            optimizer.state.pop(parameter, None)
        else:
            layer.forget_removed(optimizer.state.get(parameter, {}))
