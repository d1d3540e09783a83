"""The state of a fork with another method or a stricter N:M."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from lbc.config import Experiment
from lbc.runs.events import LayerInfo
from lbc.sparsity.private_random import PrivateRandom
from lbc.sparsity.sparse_layer import SparseLayer
from lbc.sparsity.sparsifier import Sparsifier
from lbc.sparsity.stricter_pattern import narrow
from lbc.training.checkpoint import Checkpoint, load_model, load_optimizer
from lbc.training.fork_changes import layer_obstacle, method_obstacles
from lbc.training.optimizer import build_optimizer
from lbc.training.preparation import build_sparse
from lbc.training.tensor_file import check_size


def restructured(
    checkpoint: Checkpoint, old: Experiment, new: Experiment, file: Path, allow_import: bool
) -> tuple[dict[str, Any], tuple[LayerInfo, ...]]:
    """Model and optimiser of a fork for its checkpoint, and its layers.

    Weights, statistics of BatchNorm and what the optimiser keeps for them are taken over
    unchanged; so is what it keeps for scores per weight. For scores per combination under another
    N:M, and for scores that were frozen and compete again, it begins anew. Scores and live sets as
    in ``narrow``.

    Raises ValueError if it is impossible, or if the network is code of the user and not allowed
    to run, and TrainingError if the checkpoint does not fit.
    """
    check_size(old.model, checkpoint.in_shape, checkpoint.classes, checkpoint.model, file)
    model, sparsifier, optimizer = _built(old, checkpoint, allow_import)
    load_model(model, checkpoint.model, file)
    load_optimizer(optimizer, checkpoint.optimizer, file)
    new_model, new_sparsifier, new_optimizer = _built(new, checkpoint, allow_import)
    _check(sparsifier, new_sparsifier)
    own = [key for key in new_model.state_dict() if not _of_layer(key)]
    new_model.load_state_dict(new_model.state_dict() | {k: model.state_dict()[k] for k in own})
    for name, layer in new_sparsifier.layers.items():
        before = sparsifier.layers[name]
        if layer.identity == before.identity:
            layer.load_state_dict(before.state_dict())
        elif new.method.name == "lbc":
            narrow(before, layer)
        weight = new_sparsifier.canonical(name, new_sparsifier.dense_weight(name).detach())
        layer.see(weight)
        if layer.identity != before.identity:
            layer.begin(weight)
        layer.sync_live_sets()
    _take_over(model, optimizer, new_model, new_optimizer)
    state = {"model": new_model.state_dict(), "optimizer": new_optimizer.state_dict()}
    return state, _infos(new_sparsifier)


def _built(
    experiment: Experiment, checkpoint: Checkpoint, allow_import: bool
) -> tuple[nn.Module, Sparsifier, torch.optim.Optimizer]:
    with PrivateRandom(experiment.seed):  # a random mask is drawn
        model, sparsifier, _ = build_sparse(
            experiment, checkpoint.in_shape, checkpoint.classes, checkpoint.sparse, allow_import
        )
    return model, sparsifier, build_optimizer(model, experiment.optimizer)


def _check(old: Sparsifier, new: Sparsifier) -> None:
    """Raise ValueError where a layer cannot be taken over, as its values show."""
    kept = {
        name: old.options.keeps_all or layer.live_sets.complete
        for name, layer in old.layers.items()
    }
    reasons = [*method_obstacles(old.options, new.options, not all(kept.values()))]
    reasons += [
        layer_obstacle(
            info,
            new.layers[info.name].pattern if info.name in new.layers else None,
            kept[info.name],
            new.skipped.get(info.name, ""),
        )
        for info in _infos(old)
    ]
    if any(reasons):
        raise ValueError(" ".join(filter(None, reasons)))


def _take_over(
    old_model: nn.Module,
    old: torch.optim.Optimizer,
    new_model: nn.Module,
    new: torch.optim.Optimizer,
) -> None:
    """Give an optimiser what another keeps for the parameters of the same name and shape."""
    before = dict(old_model.named_parameters())
    for name, parameter in new_model.named_parameters():
        known = before.get(name)
        if not parameter.requires_grad:
            new.state.pop(parameter, None)
        elif known is not None and known.shape == parameter.shape and known in old.state:
            new.state[parameter] = old.state[known]
    if all("momentum" in group and not group["momentum"] for group in new.param_groups):
        new.state.clear()


def _infos(sparsifier: Sparsifier) -> tuple[LayerInfo, ...]:
    layers: dict[str, SparseLayer] = sparsifier.layers
    return tuple(LayerInfo(k, one.shape, one.pattern, one.blocks) for k, one in layers.items())


def _of_layer(key: str) -> bool:
    """Whether a key of a state dict is of a layer's own state, not of the weight below it."""
    return "parametrizations." in key and not key.endswith(".original")
