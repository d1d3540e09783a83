"""Opening files of unknown origin without waiting for a pipe or filling the memory."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path


def read_small(path: Path, limit: int) -> bytes:
    """Read a regular file of at most ``limit`` bytes. Raises OSError for any other."""
    with open_regular(path, limit) as file:
        return file.read(limit)


def read_regular(path: Path) -> bytes:
    """Read a regular file of any size. Raises OSError for a pipe, a device or a folder."""
    with open_regular(path) as file:
        return file.read()


@contextmanager
def open_regular(path: Path, limit: int | None = None) -> Iterator[BufferedReader]:
    """Open a regular file, of at most ``limit`` bytes, for reading. Raises OSError for any other.

    Every file that may come from elsewhere is opened by it: opening a pipe would wait forever.
    """
    with open(path, "rb", opener=open_at_once) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        if limit is not None and status.st_size > limit:
            size = f"{limit >> 20} MiB" if limit >> 20 else f"{limit >> 10} KiB"
            raise OSError(errno.EFBIG, f"it is larger than {size}", str(path))
        yield file


def open_at_once(path: str, flags: int) -> int:
    """An ``opener`` that does not wait for the other end of a pipe. Raises OSError."""
    try:
        return os.open(path, flags | getattr(os, "O_NONBLOCK", 0), 0o666)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a pipe without a reader, or a socket
            raise OSError(errno.EINVAL, "it is not a regular file", str(path)) from error
        raise
