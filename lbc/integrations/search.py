"""What every callback does: follow the schedule at the framework's moments, and report."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from math import floor
from typing import Literal, get_args

import torch

from lbc.sparsity.schedule import Schedule
from lbc.sparsity.sparsifier import Sparsifier

Every = Literal["epoch", "step"]


class Search:
    """A sparsifier and the schedule that a training loop follows for it.

    ``every="epoch"`` removes combinations once an epoch is complete, ``"step"`` after any optimiser
    step at which the schedule has fallen. ``finalize=True`` makes the modules plain at the end.
    Raises ValueError for any other ``every``.
    """

    def __init__(
        self,
        sparsifier: Sparsifier,
        schedule: Schedule,
        every: Every = "epoch",
        finalize: bool = False,
    ) -> None:
        if every not in get_args(Every):
            raise ValueError(f"every={every!r} is unknown: choose 'epoch' or 'step'.")
        self.sparsifier, self.schedule, self.every = sparsifier, schedule, every
        self.finalize = finalize

    def advance(self, epoch: float, optimizers: Sequence[torch.optim.Optimizer]) -> bool:
        """Remove what the schedule asks for when ``epoch`` epochs are complete.

        Returns whether anything was removed. Raises as ``find_optimizer`` and
        ``Sparsifier.follow`` do.
        """
        position = epoch if self.every == "step" else floor(epoch)
        due = self.sparsifier.due(self.schedule, position)
        if due:
            optimizer = self.find_optimizer(optimizers)
            self.sparsifier.follow(self.schedule, position, optimizer)
        return due

    def find_optimizer(
        self, optimizers: Sequence[torch.optim.Optimizer]
    ) -> torch.optim.Optimizer | None:
        """The optimiser that trains the scores; None if no scores are being trained.

        Raises ValueError if no optimiser holds all of them.
        """
        layers = [layer for layer in self.sparsifier.layers.values() if layer.searching]
        scores = {id(score) for layer in layers for score in layer.score_parameters()}
        if not scores:
            return None
        for optimizer in optimizers:
            if scores <= {id(p) for group in optimizer.param_groups for p in group["params"]}:
                return optimizer
        raise ValueError(
            "No optimiser trains all scores of the sparse layers, so the best combinations would "
            "not be learned: call sparsify before the optimiser is built, and give the optimiser "
            "all of model.parameters()."
        )

    def figures(self) -> dict[str, float]:
        """The density of the sparse layers, and the most combinations a block has left."""
        layers = self.sparsifier.layers.values()
        live = max((layer.live_count for layer in layers), default=1)
        return {"lbc/density": self.sparsifier.density(), "lbc/live_combinations": float(live)}

    def finish(self) -> None:
        """Warn if the search is not over; make the modules plain if that is wanted."""
        undecided = sum(
            layer.searching and bool(layer.score_parameters())
            for layer in self.sparsifier.layers.values()
        )
        if undecided:
            warnings.warn(
                f"Training is over, but {undecided} sparse layers still hold several combinations "
                f"in a block: the schedule ends at epoch {self.schedule.end:g}, or a checkpoint "
                "from before was loaded as the best. Finalizing keeps the best-scored one, under "
                "which the weights have not been trained: let the schedule end earlier.",
                stacklevel=2,
            )
        if self.finalize:
            self.sparsifier.finalize()
