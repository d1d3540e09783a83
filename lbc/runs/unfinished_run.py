"""Runs that have not come to their end, found and checked without loading torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from lbc.config import Experiment, load_experiment
from lbc.config.strict_yaml import ExperimentError
from lbc.files.lock import is_locked

_ENDED = {"running": "was cut off", "stopped": "was stopped", "failed": "failed"}
"""What became of a run that can go on, by its status; "running" where its process was killed."""


class RunError(Exception):
    """A folder in which no run can go on; the message is one sentence that names it."""


class RunFinishedError(RunError):
    """The run has reached its end: there is nothing left to do."""


@dataclass(frozen=True)
class UnfinishedRun:
    """A run that can go on; ``epoch`` counts its finished epochs."""

    path: Path
    experiment: Experiment
    status: str
    epoch: int

    @property
    def described(self) -> str:
        """A sentence on how far it came."""
        return (
            f"The run {self.path.name} {_ENDED[self.status]} after {self.epoch} of "
            f"{self.experiment.training.epochs} epochs."
        )


def open_unfinished(path: Path) -> UnfinishedRun:
    """The run in a folder, ready to go on.

    Raises RunError where there is none, it is being written, or its experiment cannot be read,
    and RunFinishedError where it is over.
    """
    if not path.is_dir():
        raise RunError(f"{path} is not a folder: name the folder of a run.")
    state = read_state(path)
    if not state or not (path / "experiment.yaml").is_file():
        raise RunError(f"{path} holds no run: it needs the run.json and experiment.yaml of one.")
    try:
        experiment = load_experiment(path / "experiment.yaml")
    except ExperimentError as error:
        raise RunError(f"The run cannot go on: {'; '.join(str(error).splitlines())}") from error
    status, epoch = state.get("status"), state.get("epoch")
    if status == "finished":
        raise RunFinishedError(
            f"The run {path} is finished ({experiment.training.epochs} epochs): nothing is left "
            "to train."
        )
    if status not in _ENDED or not isinstance(epoch, int):
        raise RunError(f"{path / 'run.json'} does not say how far the run has come.")
    if being_trained(path):
        raise RunError(f"Another process is training the run {path}: wait for it, or stop it.")
    return UnfinishedRun(path, experiment, str(status), epoch)


def being_trained(folder: Path) -> bool:
    """Whether a process, this one or another, is writing the run in ``folder``."""
    return is_locked(folder / "steps.records")


def newest_unfinished(runs: Path) -> UnfinishedRun | None:
    """The youngest run below a folder, where it can go on and did not fail of itself."""
    try:
        folders = [folder for folder in runs.iterdir() if (folder / "run.json").is_file()]
        newest = max(folders, key=lambda folder: (folder / "run.json").stat().st_mtime_ns)
        run = open_unfinished(newest)
    except (OSError, ValueError, RunError):
        return None
    return run if run.status != "failed" else None


def read_state(path: Path) -> dict[str, object]:
    """What run.json says, as far as it can be read."""
    try:
        document = json.loads((path / "run.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}
