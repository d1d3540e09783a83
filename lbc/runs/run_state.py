"""``run.json``: what became of a run."""

from __future__ import annotations

import stat
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from lbc.files.os_errors import explain
from lbc.files.printable import SentenceError
from lbc.files.small_file import read_small
from lbc.runs.events import EpochDone

FILE = "run.json"
SIZE_LIMIT = 1 << 20

Status = Literal["running", "finished", "stopped", "failed"]
Number = Annotated[float, Field(allow_inf_nan=False)]


class RunError(SentenceError, ValueError):
    """A folder without a run that can be read or resumed; the message names it."""


@dataclass(frozen=True)
class RunState:
    """How far a run has come. ``seconds`` excludes pauses."""

    status: Status
    epoch: Annotated[int, Field(ge=0, lt=1 << 53)] = 0
    accuracy: Number | None = None
    density: Number = 1.0
    seconds: Number = 0.0
    message: str = ""

    @classmethod
    def after(
        cls, last: EpochDone | None, seconds: float, status: Status, message: str = ""
    ) -> RunState:
        """The state of a run whose last complete epoch is ``last``."""
        seconds = round(seconds, 3)
        if last is None:
            return cls(status, seconds=seconds, message=message)
        return cls(status, last.epoch, last.accuracy, last.density, seconds, message)


@dataclass(frozen=True)
class Parent:
    """The run that a fork began with, and how much of it the fork contains.

    ``folder`` is where it was when the fork was made. ``epoch`` and ``step`` are the moment of the
    fork; the first ``moments`` moments of the fork's history and its first ``interventions``
    interventions are the parent's.
    """

    folder: str
    epoch: Annotated[Number, Field(ge=0)]
    step: Annotated[int, Field(ge=0)]
    moments: Annotated[int, Field(ge=0)]
    interventions: Annotated[int, Field(ge=0)] = 0

    @property
    def label(self) -> str:
        """Name and epoch of the parent, such as ``digits-20261129-101500@7.5``."""
        return f"{PurePath(self.folder).name}@{self.epoch:g}"


@dataclass(frozen=True)
class RunDocument(RunState):
    """The contents of ``run.json``, with what does not change during a run.

    ``parent`` is None unless the run is a fork. ``weights_sha256`` is that of the checkpoint
    ``training.weights`` when the run began, and ``teacher_sha256`` that of its teacher. ``steps``
    were taken in ``seconds``, which include removals and tests, and ``peak_memory`` is in bytes, as
    ``PeakMemory`` measures it; both are 0 for runs of versions before they were recorded.
    """

    name: str = "run"
    pattern: str = ""
    seed: int | None = None
    device: str = ""
    started: str = ""
    updated: str = ""
    parent: Parent | None = None
    weights_sha256: str = ""
    teacher_sha256: str = ""
    steps: Annotated[int, Field(ge=0, lt=1 << 53)] = 0
    peak_memory: Annotated[int, Field(ge=0, lt=1 << 53)] = 0
    versions: dict[str, str] = field(default_factory=dict)


_DOCUMENT = TypeAdapter(RunDocument)


def read_state(folder: Path) -> RunDocument:
    """Read the ``run.json`` of a run. Raises RunError if there is no run or it cannot be read."""
    file, experiment = folder / FILE, folder / "experiment.yaml"
    try:
        if not stat.S_ISDIR(folder.stat().st_mode):
            raise RunError(f"{folder} is not a folder: name the folder of a run.")
    except FileNotFoundError as error:
        raise RunError(f"{folder} does not exist: name the folder of a run.") from error
    except OSError as error:  # links in a circle, among others
        raise RunError(explain(error, f"{folder} cannot be read")) from error
    try:
        if not file.exists() or not experiment.exists() or experiment.is_dir():
            raise RunError(
                f"{folder} holds no run: it needs the run.json and experiment.yaml of one."
            )
        return _DOCUMENT.validate_json(read_small(file, SIZE_LIMIT))
    except OSError as error:
        raise RunError(explain(error, f"{file} cannot be read")) from error
    except ValidationError as error:
        details = error.errors(include_url=False)[0]
        key = ".".join(map(str, details["loc"]))
        reason = f"its entry {key!r} cannot be used" if key else "it is damaged"
        raise RunError(f"{file} is not what a run writes: {reason}.") from error


def run_of(checkpoint: Path) -> Path | None:
    """The folder of the run that a checkpoint is, or is in; None if it is part of no run."""
    places = (checkpoint, *checkpoint.absolute().parents[:2])  # kept ones are in a folder of it
    return next((at for at in places if (at / FILE).is_file()), None)
