"""The contents of a report, read from the run's folder alone, however the run ended."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lbc.config import dump_experiment
from lbc.config.strict_yaml import ExperimentError
from lbc.config.yaml_file import SIZE_LIMIT
from lbc.files.printable import counted
from lbc.files.small_file import read_small
from lbc.report.layer_summary import LayerSummary, summarise_layer
from lbc.runs.effective_experiment import effective_experiment
from lbc.runs.history_reader import Replay
from lbc.runs.interventions import read_interventions
from lbc.runs.metrics import EPOCH_COLUMNS, STEP_COLUMNS, read_metrics
from lbc.runs.records import Columns
from lbc.runs.run_state import RunDocument, RunError, read_state
from lbc.runs.unfinished_run import being_trained


class ReportError(Exception):
    """A folder of which no report can be made; the message is one sentence that names it."""


class ReportCancelled(Exception):  # noqa: N818 - nothing went wrong
    """The report was cancelled; nothing was written."""


@dataclass(frozen=True, eq=False)
class RunSummary:
    """Everything a report shows. ``steps`` and ``epochs``: columns, each (rows,).

    ``planned``: the experiment's epochs, None if its file cannot be read. ``changes``: a sentence
    on each of the user's interventions.
    """

    folder: Path
    state: RunDocument
    being_written: bool
    planned: int | None
    experiment: str
    changes: tuple[str, ...]
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
        of = "" if self.planned is None else f"{self.state.epoch} of "
        after = f"after {of}{counted(self.planned or self.state.epoch, 'epoch')}"
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
    try:
        state = read_state(folder)
    except RunError as error:
        raise ReportError(str(error)) from error
    experiment, planned = _read_experiment(folder)
    return RunSummary(
        folder=folder,
        state=state,
        being_written=being_trained(folder),
        planned=planned,
        experiment=experiment,
        changes=tuple(
            f"Epoch {one.epoch:.2f}: {one.intervention.described}."
            for one in read_interventions(folder)
        ),
        steps=_read_columns(folder / "steps.records", STEP_COLUMNS),
        epochs=_read_columns(folder / "epochs.records", EPOCH_COLUMNS),
        layers=_read_layers(folder / "scores.history", cancel),
    )


def _read_experiment(folder: Path) -> tuple[str, int | None]:
    """The experiment as text, and its epochs.

    What its file links to may be anything: it is shown only if it is an experiment.
    """
    try:
        experiment = effective_experiment(folder)
    except ExperimentError:  # perhaps of another version, which begins alike
        content = b""
        with suppress(OSError):
            content = read_small(folder / "experiment.yaml", SIZE_LIMIT)
        known = content.startswith(b"version:")
        return content.decode("utf-8", "replace") if known else "(This is no experiment.)", None
    return dump_experiment(experiment), experiment.training.epochs


def _read_columns(path: Path, names: tuple[str, ...]) -> Columns:
    try:
        return read_metrics(path, names)
    except FileNotFoundError:  # killed before its first step
        return {name: np.empty(0) for name in names}
    except ValueError as error:
        raise ReportError(str(error)) from error


def _read_layers(path: Path, cancel: threading.Event | None) -> tuple[LayerSummary, ...]:
    if not path.exists():
        return ()
    try:
        replay = Replay(path)
        if replay.damage:
            raise ReportError(replay.damage)
        layers = range(len(replay.layers))
        return tuple(summarise_layer(replay, at, _moments(replay, cancel)) for at in layers)
    except ValueError as error:
        raise ReportError(str(error)) from error


def _moments(replay: Replay, cancel: threading.Event | None) -> Iterator[int]:
    for moment in range(len(replay.moments)):
        if cancel is not None and cancel.is_set():
            raise ReportCancelled
        yield moment
