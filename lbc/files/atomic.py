"""Atomic file replacement."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import IO


def write_atomically(
    path: Path,
    write: Callable[[IO[bytes]], object],
    previous: Path | None = None,
    sync: bool = True,
    follow: bool = False,
) -> None:
    """Call ``write`` on a temporary file, then atomically replace ``path`` with it.

    The old file is kept as ``previous``, if given; a process killed in between leaves only that.
    ``follow``: a link stays, and the file that it leads to is replaced. That is what a user expects
    of a file that he names; in a folder that came from elsewhere, a link may lead to any file.

    Safe against power loss, unless ``sync`` is False. Raises OSError, leaving the old file
    untouched, if writing fails, and before that if ``path`` is a pipe, a device or a folder.
    """
    path = replaceable(path, follow)
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


def replaceable(path: Path, follow: bool) -> Path:
    """The file to replace, which may not exist: with ``follow``, the one that a link leads to.

    Raises OSError if it is no regular file; a link that is not followed can be replaced, too.
    """
    if follow and path.is_symlink():
        path = Path(os.path.realpath(path))
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return path
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if follow and stat.S_ISLNK(mode):  # only a loop is left
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
        raise FileExistsError(errno.EEXIST, "it is not a regular file", str(path))
    return path
