"""The contents of a report, read from the run's folder alone, however the run ended."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter, ValidationError

from lbc.config import dump_experiment, load_experiment
from lbc.config.strict_yaml import SIZE_LIMIT, ExperimentError
from lbc.report.layer_summary import LayerSummary, summarise_layer
from lbc.runs.folder import EPOCH_COLUMNS, STEP_COLUMNS, RunState
from lbc.runs.history_reader import Replay
from lbc.runs.records import read_records
from lbc.runs.unfinished_run import being_trained, read_state

Columns = dict[str, npt.NDArray[np.float64]]


class ReportError(Exception):
    """A folder of which no report can be made; the message is one sentence that names it."""


class ReportCancelled(Exception):  # noqa: N818 - nothing went wrong
    """The report was cancelled; nothing was written."""


@dataclass(frozen=True)
class RunDocument(RunState):
    """The contents of run.json."""

    name: str = "run"
    pattern: str = ""
    seed: int | None = None
    device: str = ""
    started: str = ""
    updated: str = ""
    versions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class RunSummary:
    """Everything a report shows. ``steps`` and ``epochs``: columns, each (rows,).

    ``planned``: the experiment's epochs, None if its file cannot be read.
    """

    folder: Path
    state: RunDocument
    being_written: bool
    planned: int | None
    experiment: str
    steps: Columns
    epochs: Columns
    layers: tuple[LayerSummary, ...]

    @property
    def decided(self) -> bool:
        """Whether every block had one combination left after the last epoch."""
        live = self.epochs["live"]
        return len(live) > 0 and bool(live[-1] == 1)

    @property
    def condition(self) -> str:
        """A sentence on what became of the run."""
        of = f" of {self.planned}" if self.planned is not None else ""
        after = f"after {self.state.epoch}{of} epochs"
        match self.state.status:
            case "finished":
                return f"Finished {after}."
            case "stopped":
                return f"Stopped by the user {after}: what follows is how far it came."
            case "failed":
                return f"Failed {after}: {self.state.message or 'no reason was recorded.'}"
            case "running":
                if self.being_written:
                    return f"Still running: what follows is how it stood {after}."
                return f"Cut off {after}, by a kill or a power cut: it can be resumed."


def read_run(folder: Path, cancel: threading.Event | None = None) -> RunSummary:
    """Summarise the run in a folder, which may be written meanwhile.

    Raises ReportError if there is none or a file of it is damaged, ReportCancelled once
    ``cancel`` is set, and OSError if a file cannot be read.
    """
    state = _read_state(folder)
    experiment, planned = _read_experiment(folder / "experiment.yaml")
    return RunSummary(
        folder=folder,
        state=state,
        being_written=being_trained(folder),
        planned=planned,
        experiment=experiment,
        steps=_read_columns(folder / "steps.records", STEP_COLUMNS),
        epochs=_read_columns(folder / "epochs.records", EPOCH_COLUMNS),
        layers=_read_layers(folder / "scores.history", cancel),
    )


def _read_state(folder: Path) -> RunDocument:
    if not folder.is_dir():
        raise ReportError(f"{folder} is not a folder: name the folder of a run.")
    document = read_state(folder)
    if not document or not (folder / "experiment.yaml").is_file():
        raise ReportError(
            f"{folder} holds no run: it needs the run.json and experiment.yaml of one."
        )
    try:
        return TypeAdapter(RunDocument).validate_python(document)
    except ValidationError as error:
        key = ".".join(map(str, error.errors()[0]["loc"]))
        raise ReportError(
            f"{folder / 'run.json'} is not what a run writes: its entry {key!r} cannot be used."
        ) from error


def _read_experiment(file: Path) -> tuple[str, int | None]:
    """The experiment as text, and its epochs.

    What ``file`` links to may be anything: it is shown only if it is an experiment.
    """
    try:
        experiment = load_experiment(file)
    except ExperimentError:  # perhaps of another version, which begins alike
        with file.open("rb") as stream:
            content = stream.read(SIZE_LIMIT)
        known = content.startswith(b"version:")
        return content.decode("utf-8", "replace") if known else "(This is no experiment.)", None
    return dump_experiment(experiment), experiment.training.epochs


def _read_columns(path: Path, names: tuple[str, ...]) -> Columns:
    try:
        columns = read_records(path)
    except FileNotFoundError:  # killed before its first step
        return {name: np.empty(0) for name in names}
    except ValueError as error:
        raise ReportError(str(error)) from error
    missing = [name for name in names if name not in columns]
    if missing and columns:
        raise ReportError(f"{path} is damaged: it has no column {missing[0]!r}.")
    return columns or {name: np.empty(0) for name in names}


def _read_layers(path: Path, cancel: threading.Event | None) -> tuple[LayerSummary, ...]:
    if not path.is_file():
        return ()
    try:
        replay = Replay(path)
        layers = range(len(replay.layers))
        return tuple(summarise_layer(replay, at, _moments(replay, cancel)) for at in layers)
    except ValueError as error:
        raise ReportError(str(error)) from error


def _moments(replay: Replay, cancel: threading.Event | None) -> Iterator[int]:
    for moment in range(len(replay.moments)):
        if cancel is not None and cancel.is_set():
            raise ReportCancelled
        yield moment
