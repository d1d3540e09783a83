"""An append-only file that never keeps a partial write."""

from __future__ import annotations

import errno
import os
import stat
import time
from io import FileIO
from pathlib import Path

from lbc.files.lock import lock
from lbc.files.small_file import open_at_once

SYNC_SECONDS = 1.0


class AppendFile:
    """Unbuffered, all-or-nothing appends, synced to disk about once a second."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = open_to_append(path)
        self.size = self._file.tell()
        self._synced = time.monotonic()

    def begin(self, header: bytes) -> None:
        """Start with ``header`` unless the file has it; close it if that fails. Raises OSError."""
        if self.size >= len(header):
            return
        try:
            self.truncate(0)
            self.append(header)
        except OSError:
            self.close()
            raise

    def append(self, data: bytes, sync: bool = False) -> None:
        """Append ``data``. Raises OSError, leaving the file unchanged, if it cannot be written."""
        try:
            if self._file.write(data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
            if sync or time.monotonic() - self._synced > SYNC_SECONDS:
                self.sync()
        except OSError:
            self.truncate(self.size)
            raise
        self.size += len(data)

    def sync(self) -> None:
        """Flush all appended data to disk."""
        os.fsync(self._file.fileno())
        self._synced = time.monotonic()

    def lock(self, timeout: float = 0.0) -> bool:
        """Lock out other writers until closed; False if another writer holds the lock."""
        return lock(self._file, timeout)

    def truncate(self, size: int) -> None:
        """Discard everything after ``size`` bytes."""
        if self._file.seekable() and self.path.is_file():
            self._file.truncate(size)
            self.size = size

    def close(self) -> None:
        self._file.close()


def open_to_append(path: Path) -> FileIO:
    """Open a file, new or not, unbuffered. Raises OSError for a pipe, as others may wait for it."""
    file = open(path, "ab", buffering=0, opener=open_at_once)  # noqa: SIM115 - the caller's
    if stat.S_ISFIFO(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return file
