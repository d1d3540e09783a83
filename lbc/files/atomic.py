"""Atomic file replacement."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import IO


def write_atomically(
    path: Path,
    write: Callable[[IO[bytes]], object],
    previous: Path | None = None,
    sync: bool = True,
) -> None:
    """Call ``write`` on a temporary file, then atomically replace ``path`` with it.

    The old file is kept as ``previous``, if given; a process killed in between leaves only that.

    Safe against power loss, unless ``sync`` is False. Raises OSError, leaving the old file
    untouched, if writing fails.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        if previous is not None and path.is_file():
            path.replace(previous)
        temporary.replace(path)
    except BaseException as error:
        if isinstance(error, OSError):
            error.filename = str(path)
        temporary.unlink(missing_ok=True)
        raise
    if sync and os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
