"""``mirror.json``: that a folder is the copy of a run on a server, and whether it is connected."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from lbc.files.atomic import write_atomically
from lbc.files.small_file import read_small

FILE = "mirror.json"
SIZE_LIMIT = 1 << 16


@dataclass(frozen=True)
class MirrorState:
    """``source`` is the address of the run, and ``server`` the name of the host in it.

    ``trained``: a process there trains the run, as far as is known. ``message`` is a sentence if
    there is no connection; ``over``: nothing more will come, as the run was deleted or refused.
    ``notice`` is the last sentence of the server about something that was not done.
    ``missing``: bytes that are still to be copied. ``ready``: the copy can be opened.
    """

    source: Annotated[str, Field(max_length=1 << 13)] = ""
    server: Annotated[str, Field(max_length=1 << 10)] = ""
    connected: bool = False
    trained: bool = False
    ready: bool = False
    over: bool = False
    missing: Annotated[int, Field(ge=0)] = 0
    message: Annotated[str, Field(max_length=1 << 13)] = ""
    notice: Annotated[str, Field(max_length=1 << 13)] = ""


_DOCUMENT = TypeAdapter(MirrorState)


def write_mirror(folder: Path, state: MirrorState) -> None:
    """Replace ``mirror.json``. Raises OSError."""
    text = json.dumps(asdict(state), indent=2) + "\n"
    write_atomically(folder / FILE, lambda file: file.write(text.encode()))


def read_mirror(folder: Path) -> MirrorState | None:
    """What a folder is the copy of; None for a run of this computer."""
    try:
        return _DOCUMENT.validate_json(read_small(folder / FILE, SIZE_LIMIT))
    except (OSError, ValidationError):
        return None
