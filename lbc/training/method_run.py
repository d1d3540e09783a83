"""What the trainer gives a method's conductor of a run: images of the training set, and a clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from lbc.config import Experiment
from lbc.data import Dataset
from lbc.data.batches import mix_seed
from lbc.runs.events import Prepared, RemovalProgress
from lbc.sparsity.sparsifier import Sparsifier
from lbc.training.step import Stepper

CALIBRATION_BATCH = 32
"""Images in a batch for calibration, whose inputs of a layer are in memory together."""

CALIBRATION_DRAW = 1
"""The number by which the order of calibration images differs from other random choices."""


def conduct(
    sparsifier: Sparsifier,
    stepper: Stepper,
    experiment: Experiment,
    prepared: Prepared,
    data: Dataset,
    emit: Callable[[RemovalProgress], None],
) -> None:
    """Let the method of a run begin its part in it, or continue under a changed experiment."""
    decided, state = sparsifier.decided, sparsifier.conductor.state()
    at = experiment.method.decision(experiment.schedule.as_schedule(), prepared.epochs)
    sparsifier.conduct(
        stepper.optimizer,
        prepared.steps,
        prepared.steps_per_epoch,
        experiment.schedule.as_schedule(),
        seed=experiment.seed,
        batches=partial(calibration_batches, data, experiment.seed, stepper),
        progress=lambda share: emit(RemovalProgress(at, share)),
    )
    if state:
        sparsifier.conductor.load(state)
    sparsifier.decided = decided


def calibration_batches(data: Dataset, seed: int, stepper: Stepper, count: int) -> Iterator[Tensor]:
    """The first ``count`` training images of a random order, normalised, not augmented.

    The order depends on the seed alone. Raises ValueError if there are fewer images.
    """
    present = len(data.train.labels)
    if count > present:
        raise ValueError(
            f"The method asks for {count:,} images for calibration, and the training set has "
            f"{present:,}: lower method.images."
        )
    generator = torch.Generator().manual_seed(mix_seed(seed, CALIBRATION_DRAW))
    rows = torch.randperm(present, generator=generator)[:count].sort().values
    for part in torch.split(rows, CALIBRATION_BATCH):
        yield stepper.place(data.normalise(data.train.read(part)))
