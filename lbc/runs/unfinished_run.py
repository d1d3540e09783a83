"""Unfinished runs, found and checked without loading torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from lbc.config import Experiment, load_experiment
from lbc.config.strict_yaml import ExperimentError
from lbc.files.lock import is_locked

_ENDED = {"running": "was cut off", "stopped": "was stopped", "failed": "failed"}
"""How an unfinished run ended, by its status; "running" if its process was killed."""


class RunError(Exception):
    """A folder without a run that can be read or resumed; the message names it."""


class RunFinishedError(RunError):
    """The run is finished and cannot be resumed."""


@dataclass(frozen=True)
class UnfinishedRun:
    """A run that can be resumed; ``epoch`` counts its finished epochs."""

    path: Path
    experiment: Experiment
    status: str
    epoch: int

    @property
    def described(self) -> str:
        """A sentence that says how far the run is."""
        return (
            f"The run {self.path.name} {_ENDED[self.status]} after {self.epoch} of "
            f"{self.experiment.training.epochs} epochs."
        )


def open_unfinished(path: Path) -> UnfinishedRun:
    """Open the run in a folder for resuming.

    Raises RunError if there is none, it is being written, or its experiment cannot be read,
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
        raise RunError(
            f"The run cannot be resumed: {'; '.join(str(error).splitlines())}"
        ) from error
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
    """The most recent run below a folder, if it can be resumed and did not fail."""
    try:
        folders = [folder for folder in runs.iterdir() if (folder / "run.json").is_file()]
        newest = max(folders, key=lambda folder: (folder / "run.json").stat().st_mtime_ns)
        run = open_unfinished(newest)
    except (OSError, ValueError, RunError):
        return None
    return run if run.status != "failed" else None


def read_state(path: Path) -> dict[str, object]:
    """The contents of run.json, empty if it cannot be read."""
    try:
        document = json.loads((path / "run.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}
