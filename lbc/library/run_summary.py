"""What the library knows of a run: a summary of its folder, read without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from sys import intern

from lbc.config import Experiment
from lbc.config.strict_yaml import ExperimentError
from lbc.files.os_errors import explain
from lbc.runs.annotations import Annotations, read_annotations
from lbc.runs.effective_experiment import effective_experiment
from lbc.runs.metrics import EPOCH_COLUMNS, read_metrics
from lbc.runs.run_state import RunError, read_state
from lbc.runs.unfinished_run import being_trained

Value = str | int | float | bool
Parameters = Mapping[str, Value]


@dataclass(frozen=True)
class RunSummary:
    """One run. Two summaries are equal if nothing that the library shows differs.

    ``status`` is running, finished, stopped, failed, cut off (its process ended without finishing
    it) or unreadable; then ``problem`` is the sentence that says why, and the rest is as far as it
    could be read. ``accuracy``, ``density`` and the values of ``accuracies`` (test accuracy after
    each epoch) are fractions, ``seconds`` exclude pauses, ``peak_memory`` is in bytes, ``started``
    and ``updated`` are ISO times. If the run is a fork, ``parent`` is name@epoch, and
    ``parent_folder`` is where its parent was when it was forked after ``parent_epoch`` epochs.
    ``parameters`` are the settings of the resolved experiment by dotted key, such as
    ``optimizer.lr``; lists are text.
    """

    folder: Path
    status: str
    name: str = ""
    pattern: str = ""
    method: str = ""
    seed: int | None = None
    epoch: int = 0
    epochs: int = 0
    accuracy: float | None = None
    density: float | None = None
    seconds: float = 0.0
    steps: int = 0
    peak_memory: int = 0
    started: str = ""
    updated: str = ""
    device: str = ""
    parent: str = ""
    parent_folder: str = ""
    parent_epoch: float = 0.0
    accuracies: tuple[float, ...] = ()
    parameters: Parameters = field(default_factory=dict, hash=False)
    annotations: Annotations = field(default_factory=Annotations)
    message: str = ""
    problem: str = ""

    @property
    def speed(self) -> float | None:
        """Steps per second of training, with its removals and tests; None if it is not known."""
        return self.steps / self.seconds if self.steps and self.seconds else None

    @property
    def memory(self) -> float | None:
        """The peak memory in MB; None if it is not known."""
        return self.peak_memory / 1e6 or None

    @property
    def title(self) -> str:
        """What the run is called in lists."""
        return self.annotations.title or self.folder.name


def summarize_run(folder: Path) -> RunSummary:
    """Read the summary of the run in ``folder``; one that cannot be read says so, and why."""
    problems = []
    annotations = Annotations()
    try:
        annotations = read_annotations(folder)
    except RunError as error:
        problems.append(str(error))
    try:
        state = read_state(folder)
        experiment = effective_experiment(folder)
        epochs = read_metrics(folder / "epochs.records", EPOCH_COLUMNS)
    except ExperimentError as error:
        problems.append("; ".join(str(error).splitlines()))
    except OSError as error:
        problems.append(explain(error, f"{error.filename} cannot be read"))
    except ValueError as error:
        problems.append(str(error))
    else:
        running = state.status == "running" and not being_trained(folder)
        return RunSummary(
            folder=folder,
            status="cut off" if running else state.status,
            name=experiment.name,
            pattern=str(experiment.pattern),
            method=experiment.method.name,
            seed=experiment.seed,
            epoch=state.epoch,
            epochs=experiment.training.epochs,
            accuracy=state.accuracy,
            density=state.density,
            seconds=state.seconds,
            steps=state.steps,
            peak_memory=state.peak_memory,
            started=state.started,
            updated=state.updated,
            device=state.device,
            parent=state.parent.label if state.parent else "",
            parent_folder=state.parent.folder if state.parent else "",
            parent_epoch=state.parent.epoch if state.parent else 0.0,
            accuracies=tuple(epochs["accuracy"].tolist()),
            parameters=flatten_experiment(experiment),
            annotations=annotations,
            message=state.message,
            problem=" ".join(problems),
        )
    return RunSummary(folder, "unreadable", annotations=annotations, problem=" ".join(problems))


def flatten_experiment(experiment: Experiment) -> dict[str, Value]:
    """The settings by dotted key. Runs share the texts, which were most of a library's memory."""
    flat: dict[str, Value] = {}
    _flatten(experiment.model_dump(mode="json"), "", flat)
    return {"method" if key == "method.name" else key: value for key, value in flat.items()}


def _flatten(value: object, key: str, flat: dict[str, Value]) -> None:
    match value:
        case dict():
            for name, inner in value.items():
                _flatten(inner, intern(f"{key}.{name}" if key else str(name)), flat)
        case str():
            flat[key] = intern(value)
        case int() | float():
            flat[key] = value
        case list() | tuple():
            flat[key] = intern(", ".join(map(str, value)))
        case None:
            flat[key] = "none"
        case _:
            flat[key] = str(value)
