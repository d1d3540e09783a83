"""The experiment of a run as it is now: experiment.yaml, and what was steered since."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from operator import attrgetter
from pathlib import Path

from pydantic import BaseModel

from lbc.config import Experiment, load_experiment, parse_experiment
from lbc.config.strict_yaml import ExperimentError, Problem
from lbc.files.os_errors import explain
from lbc.runs.events import STEERABLE, Settings, Steering
from lbc.runs.interventions import FILE, read_interventions
from lbc.runs.run_state import RunError, read_state


def effective_experiment(folder: Path, interventions: int | None = None) -> Experiment:
    """The experiment of the run in a folder after all, or the first few, of its interventions.

    Raises ExperimentError if it cannot be read.
    """
    experiment = load_experiment(folder / "experiment.yaml")
    file = str(folder / FILE)
    try:
        return steered(experiment, _settings(folder, interventions), file)
    except OSError as error:
        message = explain(error, "It cannot be read")
        raise ExperimentError(file, [Problem("", None, message)]) from error
    except RunError as error:
        raise ExperimentError(file, [Problem("", None, str(error))]) from error


def steered(experiment: Experiment, settings: Settings, file: str = "experiment") -> Experiment:
    """The experiment with other values. Raises ExperimentError if it is then invalid."""
    if not settings:
        return experiment
    document = experiment.model_dump(mode="json")
    for key, value in settings:
        if key not in STEERABLE:
            raise ExperimentError(file, [Problem(key, None, "It cannot change during a run.")])
        section, _, name = key.partition(".")
        document[section][name] = value
    return parse_experiment(document, file)


def replaced(experiment: Experiment, settings: Settings) -> Experiment:
    """The experiment with other values, which are known to be valid once all have changed."""
    for key, value in settings:
        section, _, name = key.partition(".")
        changed = getattr(experiment, section).model_copy(update={name: value})
        experiment = experiment.model_copy(update={section: changed})
    return experiment


def values_of(experiment: Experiment, keys: Iterable[str] = STEERABLE) -> Settings:
    """The values of settings that can be steered."""
    return tuple((key, attrgetter(key)(experiment)) for key in keys)


def changed_keys(before: BaseModel, after: BaseModel, inside: str = "") -> Iterator[str]:
    """The dotted keys of settings that differ; ``model.name`` if the network is another one."""
    for key in type(before).model_fields:
        old, new, path = getattr(before, key), getattr(after, key), f"{inside}{key}"
        if old == new:
            continue
        if isinstance(old, BaseModel):
            same = type(old) is type(new)
            yield from changed_keys(old, new, f"{path}.") if same else (f"{path}.name",)
        else:
            yield path


def experiment_after(folder: Path, experiment: Experiment, interventions: int) -> Experiment:
    """``experiment`` as it was after the first few interventions of the run in a folder.

    It is that of the run as it began or as it is now; where a value is neither, it stays.
    Raises ExperimentError as ``effective_experiment`` does.
    """
    began, then, now = (
        dict(values_of(effective_experiment(folder, count))) for count in (0, interventions, None)
    )
    changed = tuple(
        (key, then[key])
        for key, value in values_of(experiment)
        if value in (began[key], now[key]) and value != then[key]
    )
    return steered(experiment, changed)


def _settings(folder: Path, interventions: int | None) -> Settings:
    """What was steered in a run itself, and not in the parent of a fork."""
    done = read_interventions(folder)[:interventions]
    if not any(isinstance(one.intervention, Steering) for one in done):
        return ()
    parent = read_state(folder).parent
    own = done[parent.interventions if parent else 0 :]
    return tuple(
        pair
        for one in own
        if isinstance(one.intervention, Steering)
        for pair in one.intervention.settings
    )
