"""A run on disk, opened for viewing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lbc.config import Experiment
from lbc.config.strict_yaml import ExperimentError
from lbc.files.os_errors import explain
from lbc.runs.effective_experiment import effective_experiment
from lbc.runs.events import EpochDone, LayerInfo, MethodNumbers, StepDone
from lbc.runs.history_reader import Replay
from lbc.runs.method_numbers import read_numbers
from lbc.runs.metrics import read_epochs, read_steps
from lbc.runs.run_state import Parent, RunError, read_state
from lbc.runs.unfinished_run import being_trained


@dataclass(frozen=True)
class OpenedRun:
    """The contents of a run folder, except its history, which is read moment by moment.

    ``status`` is "cut off" if the process that trained the run ended without finishing it.
    ``parent`` is None unless the run is a fork.
    """

    folder: Path
    experiment: Experiment
    status: str
    layers: tuple[LayerInfo, ...]
    steps: tuple[StepDone, ...]
    epochs: tuple[EpochDone, ...]
    parent: Parent | None = None
    numbers: tuple[MethodNumbers, ...] = ()


def open_run(folder: Path) -> OpenedRun:
    """Open the run in a folder, finished or not, or being trained by another process.

    Raises RunError if there is none or it cannot be read.
    """
    state = read_state(folder)
    try:
        return OpenedRun(
            folder,
            effective_experiment(folder),
            _status(folder, state.status),
            Replay(folder).layers,
            read_steps(folder),
            read_epochs(folder),
            state.parent,
            read_numbers(folder),
        )
    except ExperimentError as error:
        raise RunError(f"The run cannot be read: {'; '.join(str(error).splitlines())}") from error
    except OSError as error:
        what = f"The run {folder} cannot be read: {error.filename}"
        raise RunError(explain(error, what)) from error
    except ValueError as error:
        raise RunError(f"The run {folder} cannot be read: {error}") from error


def _status(folder: Path, written: str) -> str:
    return "cut off" if written == "running" and not being_trained(folder) else written
