"""A running average of the weights, which is tested and exported in their place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from lbc.sparsity.sparsifier import Sparsifier
from lbc.training.failures import TrainingError


class WeightAverage:
    """Exponential moving average of weights, biases and BatchNorm statistics, not of scores.

    w̄ ← d·w̄ + (1 − d)·w after every step, with d = min(decay, (1 + t) / (10 + t)) at step t, so that
    the first weights are soon forgotten (as TensorFlow's ExponentialMovingAverage does). It is the
    dense weight below the mask that is averaged: under the model's present mask the average obeys
    the pattern like the weight itself.
    """

    def __init__(self, sparsifier: Sparsifier, decay: float) -> None:
        self._decay = decay
        self._sources = averaged_tensors(sparsifier)
        self.values = {name: source.detach().clone() for name, source in self._sources.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after ``step`` steps."""
        decay = min(self._decay, (1 + step) / (10 + step))
        average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        average(list(self.values.values()), list(self._sources.values()), 0)

    def load(self, stored: Mapping[str, object], file: Path) -> None:
        """Take a checkpoint's averages. Raises TrainingError where one is not there."""
        _copy(stored, self.values, file)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within, the model computes with the averages."""
        kept = {name: source.detach().clone() for name, source in self._sources.items()}
        self._write(self.values)
        try:
            yield
        finally:
            self._write(kept)

    @torch.no_grad()
    def _write(self, values: Mapping[str, Tensor]) -> None:
        for name, source in self._sources.items():
            source.copy_(values[name])


def load_average(sparsifier: Sparsifier, stored: Mapping[str, object], file: Path) -> None:
    """Put a checkpoint's averages in the place of the weights. Raises TrainingError as above."""
    _copy(stored, averaged_tensors(sparsifier), file)


@torch.no_grad()
def _copy(stored: Mapping[str, object], places: Mapping[str, Tensor], file: Path) -> None:
    for name, place in places.items():
        found = stored.get(name)
        if not isinstance(found, Tensor) or found.shape != place.shape:
            raise TrainingError(f"{file} holds no average of {name!r}: it is damaged.")
        place.copy_(found)


def averaged_tensors(sparsifier: Sparsifier) -> dict[str, Tensor]:
    """The floating parameters and buffers of the model that are no scores, by name."""
    layers = sparsifier.layers.values()
    scores = {id(score) for layer in layers for score in layer.score_parameters()}
    named = [*sparsifier.model.named_parameters(), *sparsifier.model.named_buffers()]
    return {
        name: tensor
        for name, tensor in named
        if tensor.is_floating_point() and id(tensor) not in scores
    }
