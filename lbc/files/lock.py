"""One writer at a time: a lock that the system takes back however the process ends."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import IO

PATIENCE_SECONDS = 10.0
"""A killed run's data workers hold its lock for some seconds longer."""

RETRY_SECONDS = 0.1

_FAR = 1 << 40
"""Windows lets nobody read what is locked: a byte that no file reaches is locked instead."""


def lock(file: IO[bytes], patience: float = 0.0) -> bool:
    """Take the lock of an open file until it is closed; False where another holds it so long.

    On a file system that knows no locks the answer is True.
    """
    end = time.monotonic() + patience
    while not _try(file):
        if time.monotonic() >= end:
            return False
        time.sleep(RETRY_SECONDS)
    return True


def locked(path: Path) -> bool:
    """Whether another holds the lock of ``path``; a file that is not there is not locked."""
    try:
        with path.open("rb+") as file:
            return not _try(file)
    except OSError:
        return False


if sys.platform == "win32":
    import msvcrt

    def _try(file: IO[bytes]) -> bool:
        place = os.lseek(file.fileno(), 0, os.SEEK_CUR)
        try:
            os.lseek(file.fileno(), _FAR, os.SEEK_SET)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        except OSError:
            return True
        finally:
            os.lseek(file.fileno(), place, os.SEEK_SET)
        return True

else:
    import fcntl

    def _try(file: IO[bytes]) -> bool:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True
