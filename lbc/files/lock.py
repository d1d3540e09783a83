"""Exclusive file locks, which the operating system releases however the process ends."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import IO

from lbc.files.small_file import open_regular

LOCK_TIMEOUT_SECONDS = 10.0
"""The data workers of a killed run hold its lock for a few seconds longer."""

RETRY_SECONDS = 0.01

_LOCK_OFFSET = 1 << 40
"""Windows denies reads of a locked range, so lock one byte far beyond the end of any file."""


def lock(file: IO[bytes], timeout: float = 0.0) -> bool:
    """Lock an open file until it is closed; False if another holds it for ``timeout`` seconds.

    Returns True on a file system without locks.
    """
    end = time.monotonic() + timeout
    while not _try_lock(file):
        if time.monotonic() >= end:
            return False
        time.sleep(RETRY_SECONDS)
    return True


def is_locked(path: Path) -> bool:
    """Whether another process has locked ``path``; False if the file does not exist.

    Several may ask at once: where the system has shared locks, they do not take each other for it.
    """
    try:
        with open_regular(path) as file:
            return not _try_lock(file, shared=True)
    except OSError:
        return False


if sys.platform == "win32":
    import msvcrt

    def _try_lock(file: IO[bytes], shared: bool = False) -> bool:  # noqa: ARG001
        position = os.lseek(file.fileno(), 0, os.SEEK_CUR)
        try:
            os.lseek(file.fileno(), _LOCK_OFFSET, os.SEEK_SET)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        except OSError:
            return True
        finally:
            os.lseek(file.fileno(), position, os.SEEK_SET)
        return True

else:
    import fcntl

    def _try_lock(file: IO[bytes], shared: bool = False) -> bool:
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.flock(file.fileno(), kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True
