"""Unfinished runs, found and checked without loading torch."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lbc.config import Experiment
from lbc.config.strict_yaml import ExperimentError
from lbc.files.lock import is_locked
from lbc.files.printable import counted
from lbc.runs.effective_experiment import effective_experiment
from lbc.runs.mirror_state import read_mirror
from lbc.runs.run_state import FILE, RunError, read_state

_ENDED = {"running": "was cut off", "stopped": "was stopped", "failed": "failed"}
"""How an unfinished run ended, by its status; "running" if its process was killed."""


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
            f"{counted(self.experiment.training.epochs, 'epoch')}."
        )


def open_unfinished(path: Path) -> UnfinishedRun:
    """Open the run in a folder for resuming.

    Raises RunError if there is none, it is being written, or its experiment cannot be read,
    and RunFinishedError where it is over.
    """
    state = read_state(path)
    try:
        experiment = effective_experiment(path)
    except ExperimentError as error:
        raise RunError(
            f"The run cannot be resumed: {'; '.join(str(error).splitlines())}"
        ) from error
    if state.status == "finished":
        raise RunFinishedError(
            f"The run {path} is finished ({counted(experiment.training.epochs, 'epoch')}): nothing "
            "is left to train."
        )
    mirror = read_mirror(path)
    if mirror is not None:
        raise RunError(
            f"{path} is a copy of {mirror.source}, without its checkpoint: resume the run there."
        )
    if being_trained(path):
        raise RunError(
            f"Another process is training the run {path}: open the run to follow or stop it."
        )
    return UnfinishedRun(path, experiment, state.status, state.epoch)


def being_trained(folder: Path) -> bool:
    """Whether a process, this one or another, is writing the run in ``folder``.

    Of a run on a server: the one there, as far as is known.
    """
    mirror = read_mirror(folder)
    if mirror is not None:
        return mirror.trained
    return is_locked(folder / "steps.records")


def newest_unfinished(
    runs: Path, report: Callable[[str], object] = lambda message: None
) -> UnfinishedRun | None:
    """The most recent run below a folder, if it can be resumed and did not fail.

    Newer runs that cannot be read are skipped; ``report`` is called with the reason for each.
    """
    for folder in _newest_first(runs):
        try:
            read_state(folder)
        except RunError as error:
            report(str(error))
            continue
        try:
            run = open_unfinished(folder)
        except RunError:
            return None
        return run if run.status != "failed" else None
    return None


def _newest_first(runs: Path) -> list[Path]:
    found = []
    with suppress(OSError):
        for folder in runs.iterdir():
            with suppress(OSError):  # not a run, or no permission to know
                found.append(((folder / FILE).stat().st_mtime_ns, folder))
    return [folder for _, folder in sorted(found, reverse=True)]
