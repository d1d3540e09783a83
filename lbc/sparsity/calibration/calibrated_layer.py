"""One-shot methods in training: dense until they decide, and under a fixed mask after."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from lbc.sparsity.calibration.one_shot import check_inputs, prune_in_order
from lbc.sparsity.calibration.solution import Progress, Solver
from lbc.sparsity.conductor import Conductor, Run
from lbc.sparsity.live_sets import LiveSets
from lbc.sparsity.magnitude_layer import MagnitudeLayer
from lbc.sparsity.method_options import CalibrationAtEnd, Form
from lbc.sparsity.pattern import Pattern


class CalibratedLayer(MagnitudeLayer):
    """A layer whose mask is chosen by its inputs, and never by its weights alone."""

    def choose(
        self,
        live: int,
        /,
        scored: Callable[[int], object] = lambda _: None,
        weight: Tensor | None = None,
    ) -> tuple[LiveSets, Tensor]:
        """Live sets and mask as they are. Raises ValueError if the layer is not decided yet."""
        if live < self.live_count:
            raise ValueError(
                f"Layer {self.name!r} is not pruned yet, which {self.method} does by calibration "
                "images: train until schedule.end, or call Sparsifier.conduct with batches and "
                "then decide()."
            )
        return super().choose(live, scored, weight)


def attach(name: str, weight: Tensor, pattern: Pattern, _form: Form, /) -> CalibratedLayer:
    """A layer that is pruned once by its inputs."""
    return CalibratedLayer(name, weight, pattern)


class Pruning(Conductor):
    """Prunes all layers when it decides; ``errors`` are then their relative output errors.

    Raises ValueError, before training begins, if there are too few images, or if the inputs of a
    layer cannot be observed.
    """

    def __init__(self, run: Run, solver: Solver) -> None:
        assert isinstance(run.options, CalibrationAtEnd)
        self.run, self._solver = run, solver
        self._images = run.options.images
        self.errors: dict[str, float] = {}
        check_inputs(run.model, next(run.batches(self._images))[:1])

    def decide(self) -> None:
        self._prune(self.run.progress)

    def _prune(self, progress: Progress) -> None:
        batches = self.run.batches(self._images)
        done = prune_in_order(self.run.model, batches, self._solver, progress=progress)
        self.errors = {layer.name: layer.error for layer in done if layer.error is not None}

    def state(self) -> dict[str, Tensor]:
        errors = [self.errors.get(name, math.nan) for name in self.run.layers]
        return {"errors": torch.tensor(errors, dtype=torch.float64)}

    def load(self, state: Mapping[str, Tensor]) -> None:
        values = zip(self.run.layers, state["errors"].tolist(), strict=True)
        self.errors = {name: error for name, error in values if not math.isnan(error)}

    def numbers(self) -> dict[str, float]:
        if not self.errors:
            return {}
        return {"output error": math.fsum(self.errors.values()) / len(self.errors)}
