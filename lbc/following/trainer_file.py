"""``trainer.json``: the process that trains a run, and whether it is paused."""

from __future__ import annotations

import json
import os
import platform
import secrets
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from lbc.files.atomic import write_atomically
from lbc.files.printable import printable
from lbc.files.small_file import read_small
from lbc.runs.unfinished_run import being_trained

FILE = "trainer.json"
VERSION = 1
SIZE_LIMIT = 1 << 16

PROGRAM_VARIABLE = "LBC_PROGRAM"
"""Environment variable that names the program which has started ``lbc train``, if another did."""

Name = Annotated[str, Field(max_length=255)]
TrainerState = Literal["running", "paused", "stopping"]


@dataclass(frozen=True)
class TrainerInfo:
    """The process that trains a run. ``token`` is its address for commands; "" if unknown.

    ``notice`` is the last sentence that it has for the user, and ``notices`` counts them.
    """

    program: Name = ""
    host: Name = ""
    pid: Annotated[int, Field(ge=0, lt=1 << 31)] = 0
    token: Name = ""
    state: TrainerState = "running"
    notice: Annotated[str, Field(max_length=1 << 12)] = ""
    notices: Annotated[int, Field(ge=0, lt=1 << 53)] = 0
    version: int = VERSION

    @property
    def paused(self) -> bool:
        return self.state == "paused"

    @property
    def commandable(self) -> bool:
        """Whether it understands this program's commands and requests."""
        return self.version == VERSION and bool(self.token)

    @property
    def label(self) -> str:
        """Who it is: "lbc train on HOST, process 1234"."""
        if not self.pid:
            return "another process"
        return printable(f"{self.program} on {self.host}, process {self.pid}")


_DOCUMENT = TypeAdapter(TrainerInfo)


def this_process(program: str) -> TrainerInfo:
    """This process, as the trainer of one run, with a new token."""
    host = printable(platform.node())[:255]
    return TrainerInfo(program[:255], host, os.getpid(), secrets.token_hex(8))


def write_trainer(folder: Path, info: TrainerInfo) -> None:
    """Replace ``trainer.json``. Raises OSError."""
    text = json.dumps(asdict(info), indent=2) + "\n"
    write_atomically(folder / FILE, lambda file: file.write(text.encode()), sync=False)


def trainer_of(folder: Path) -> TrainerInfo | None:
    """The process that trains the run in a folder; None if no process holds the run's lock.

    ``label`` and ``token`` are empty for one that has not written who it is.
    """
    if not being_trained(folder):
        return None
    try:
        info = _DOCUMENT.validate_json(read_small(folder / FILE, SIZE_LIMIT))
    except (OSError, ValidationError):
        return TrainerInfo()
    if info.host == platform.node() and not _is_alive(info.pid):
        return TrainerInfo()  # left by one that was killed
    return info


def _is_alive(pid: int) -> bool:
    if sys.platform == "win32":  # os.kill would end it
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # another user's
    return pid > 0
