"""What the trainer gives a method's conductor of a run: images of the training set, and a clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from lbc.config import Experiment
from lbc.data import Dataset
from lbc.data.batches import mix_seed
from lbc.data.loader import test_batch
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
        evaluate=partial(held_out_accuracy, data, stepper),
        shares={row.plan.name: row.share for row in prepared.table.rows},
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


@torch.no_grad()
def held_out_accuracy(data: Dataset, stepper: Stepper) -> float:
    """The model's accuracy, 0 to 1, on ``data.held_out``, which is divided among the ranks.

    Raises ValueError if no images are held out.
    """
    if data.held_out is None:
        raise ValueError("The method holds out no images, and asks for the accuracy on them.")
    model, ranks, count = stepper.model, stepper.ranks, len(data.held_out.labels)
    training, correct = model.training, 0
    model.eval()
    own = torch.arange(count).tensor_split(ranks.count)[ranks.rank]
    for rows in torch.split(own, test_batch(data.in_shape)):
        images = stepper.place(data.normalise(data.held_out.read(rows)))
        with stepper.autocast():
            found = model(images).argmax(dim=1).cpu()
        correct += int((found == data.held_out.labels[rows]).sum())
    model.train(training)
    return ranks.sum([correct], stepper.device)[0] / count
