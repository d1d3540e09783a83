"""``run.json``: what became of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from lbc.files.os_errors import explain
from lbc.files.small_file import read_small

FILE = "run.json"
SIZE_LIMIT = 1 << 20

Status = Literal["running", "finished", "stopped", "failed"]
Number = Annotated[float, Field(allow_inf_nan=False)]


class RunError(ValueError):
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


@dataclass(frozen=True)
class RunDocument(RunState):
    """The contents of ``run.json``, with what does not change during a run.

    ``parent`` is the run that a fork began with.
    """

    name: str = "run"
    pattern: str = ""
    seed: int | None = None
    device: str = ""
    started: str = ""
    updated: str = ""
    parent: str = ""
    versions: dict[str, str] = field(default_factory=dict)


_DOCUMENT = TypeAdapter(RunDocument)


def read_state(folder: Path) -> RunDocument:
    """Read the ``run.json`` of a run. Raises RunError if there is no run or it cannot be read."""
    file = folder / FILE
    if not folder.is_dir():
        raise RunError(f"{folder} is not a folder: name the folder of a run.")
    if not file.exists() or not (folder / "experiment.yaml").is_file():
        raise RunError(f"{folder} holds no run: it needs the run.json and experiment.yaml of one.")
    try:
        return _DOCUMENT.validate_json(read_small(file, SIZE_LIMIT))
    except OSError as error:
        raise RunError(explain(error, f"{file} cannot be read")) from error
    except ValidationError as error:
        details = error.errors(include_url=False)[0]
        key = ".".join(map(str, details["loc"]))
        reason = f"its entry {key!r} cannot be used" if key else "it is damaged"
        raise RunError(f"{file} is not what a run writes: {reason}.") from error
