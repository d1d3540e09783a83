"""What a user changes in a run between two steps: combinations pinned or banned, settings."""

from __future__ import annotations

from math import floor

import torch

from lbc.config import Experiment
from lbc.config.strict_yaml import ExperimentError
from lbc.runs.effective_experiment import steered, values_of
from lbc.runs.events import STEERABLE, Intervention, Settings, Steering
from lbc.sparsity.sparsifier import Sparsifier
from lbc.training.optimizer import set_weight_decay

"""Methods for which the end of the removal schedule has an effect."""


def intervene(
    intervention: Intervention | Steering,
    experiment: Experiment,
    epoch: float,
    sparsifier: Sparsifier,
    optimizer: torch.optim.Optimizer,
) -> tuple[Intervention | Steering, Experiment]:
    """Change a run after ``epoch`` epochs; return what was done, and the experiment from now on.

    Raises ValueError, with nothing changed, if it is impossible or would have no effect.
    """
    if isinstance(intervention, Steering):
        done, experiment = _steer(intervention, experiment, epoch, sparsifier)
        set_weight_decay(optimizer, experiment.optimizer.weight_decay)
        return done, experiment
    at = intervention
    apply = sparsifier.pin if at.action == "pin" else sparsifier.ban
    apply(at.layer, at.combination, at.block, optimizer)
    return intervention, experiment


def _steer(
    steering: Steering, experiment: Experiment, epoch: float, sparsifier: Sparsifier
) -> tuple[Steering, Experiment]:
    for key, _ in steering.settings:
        if key not in STEERABLE:
            raise ValueError(
                f"{key} cannot change during a run: start a new run, or fork this one."
            )
    old = dict(values_of(experiment))
    asked = tuple(dict(steering.settings).items())
    try:
        changed = steered(experiment, asked)
    except ExperimentError as error:
        reasons = " ".join(f"{at.path}: {at.message}" for at in error.problems)
        raise ValueError(f"Nothing was changed. {reasons}") from None
    new = dict(values_of(changed, dict(asked)))
    settings = tuple((key, value) for key, value in new.items() if value != old[key])
    if not settings:
        raise ValueError(f"Nothing was changed: {_listed(asked)} already.")
    _check_moment(dict(settings), epoch)
    if [key for key, _ in settings] == ["schedule.end"]:
        _check_end(experiment, sparsifier)
    return Steering(settings, tuple((key, old[key]) for key, _ in settings)), changed


def _check_moment(new: dict[str, int | float], epoch: float) -> None:
    """Raise ValueError if a setting lies before the present."""
    running = floor(epoch) + 1
    if new.get("training.epochs", running) < running:
        raise ValueError(
            f"The run is in epoch {running} and cannot end before it: set training.epochs to "
            f"{running} or more."
        )
    if new.get("schedule.end", epoch) < epoch:
        raise ValueError(
            f"The run is at epoch {epoch:.2f} and cannot remove combinations before it: set "
            f"schedule.end to {running} or more."
        )


def _check_end(experiment: Experiment, sparsifier: Sparsifier) -> None:
    """Raise ValueError if the end of the removal schedule has no effect."""
    if "end" not in experiment.method.schedule_settings:
        raise ValueError(f"schedule.end has no effect on the method {experiment.method.name}.")
    if not sparsifier.searching:
        raise ValueError("schedule.end has no effect any more: every block is decided.")


def _listed(settings: Settings) -> str:
    return " and ".join(f"{STEERABLE[key]} is {value:g}" for key, value in settings) or "it was so"
