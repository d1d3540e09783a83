"""A running average of the weights, tested and exported in their place."""

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
    the first weights soon lose influence (as in TensorFlow's ExponentialMovingAverage). Dense
    weights are averaged; the model's current mask applies to the average as to the weights.
    """

    def __init__(self, sparsifier: Sparsifier, decay: float) -> None:
        self._decay = decay
        self._sources = averaged_tensors(sparsifier)
        self.values = {name: source.detach().clone() for name, source in self._sources.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Update the average with the weights after ``step`` steps."""
        decay = min(self._decay, (1 + step) / (10 + step))
        average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        average(list(self.values.values()), list(self._sources.values()), 0)

    def load(self, stored: Mapping[str, object], file: Path) -> None:
        """Load the averages of a checkpoint. Raises TrainingError if one is missing."""
        _copy(stored, self.values, file)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """A context in which the averages replace the weights of the model."""
        saved = {name: source.detach().clone() for name, source in self._sources.items()}
        self._write(self.values)
        try:
            yield
        finally:
            self._write(saved)

    @torch.no_grad()
    def _write(self, values: Mapping[str, Tensor]) -> None:
        for name, source in self._sources.items():
            source.copy_(values[name])


def load_average(sparsifier: Sparsifier, stored: Mapping[str, object], file: Path) -> None:
    """Replace the weights by a checkpoint's averages. Raises TrainingError if one is missing."""
    _copy(stored, averaged_tensors(sparsifier), file)


@torch.no_grad()
def _copy(stored: Mapping[str, object], targets: Mapping[str, Tensor], file: Path) -> None:
    for name, target in targets.items():
        average = stored.get(name)
        if not isinstance(average, Tensor) or average.shape != target.shape:
            raise TrainingError(f"{file} is damaged: it has no average of {name!r}.")
        target.copy_(average)


def averaged_tensors(sparsifier: Sparsifier) -> dict[str, Tensor]:
    """The floating-point parameters and buffers of the model, except scores, by name."""
    layers = sparsifier.layers.values()
    scores = {id(score) for layer in layers for score in layer.score_parameters()}
    named = [*sparsifier.model.named_parameters(), *sparsifier.model.named_buffers()]
    return {
        name: tensor
        for name, tensor in named
        if tensor.is_floating_point() and id(tensor) not in scores
    }
