"""Searches for masks whose moments a history keeps, and comparisons with what it returns."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from lbc.runs.events import LayerInfo
from lbc.runs.history_codec import LARGEST_LIVE_COUNT
from lbc.runs.layer_moment import LayerMoment
from lbc.sparsity.sparse_layer import SparseLayer
from lbc.sparsity.sparsification import sparsify
from lbc.sparsity.sparsifier import Sparsifier

Form = str


def searched(
    pattern: str, method: str = "lbc", form: Form = "per_weight"
) -> tuple[Sparsifier, list[LayerInfo]]:
    model = nn.Sequential(nn.Linear(16, 8), nn.Conv2d(16, 4, 3), nn.Linear(16, 8), nn.Linear(8, 2))
    sparsifier = sparsify(
        model,
        pattern,
        method,
        scores="per_combination" if form == "per_combination" else "per_weight",
        overrides={"1": pattern, "2": "1:4"},
    )
    infos = [LayerInfo(n, at.shape, at.pattern, at.blocks) for n, at in sparsifier.layers.items()]
    return sparsifier, infos


def disturb(sparsifier: Sparsifier, much: float = 0.1) -> None:
    """What training does to scores: trained ones move, or the weights they are read off do."""
    with torch.no_grad():
        for name, layer in sparsifier.layers.items():
            weight = sparsifier.model.get_parameter(f"{name}.parametrizations.weight.original")
            for moved in (weight, *layer.score_parameters()):
                moved.add_(much * torch.randn_like(moved))


def equal(array: npt.NDArray[Any] | None, expected: npt.NDArray[Any]) -> bool:
    return array is not None and np.array_equal(array, expected)


def seen(layer: SparseLayer) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    return layer.winners(), layer.live(), layer.pattern.to_blocks(layer.mask), layer.scores()


def check(moment: LayerMoment, now: tuple[torch.Tensor, ...]) -> None:
    winners, live, mask, scores = (tensor.numpy() for tensor in now)
    assert equal(moment.winners, winners)
    assert np.array_equal(moment.kept(), mask)
    if moment.pattern.count > LARGEST_LIVE_COUNT:
        assert moment.packed is None and moment.live() is None and moment.scores() is None
        return
    assert equal(moment.live(), live)
    if moment.scores_epoch == moment.epoch:
        kept = moment.scores()
        assert kept is not None and kept.dtype == np.float32
        assert np.array_equal(kept == -np.inf, ~live)
        assert np.abs(np.where(live, kept, 0) - np.where(live, scores, 0)).max() < 0.01
