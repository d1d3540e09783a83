"""An append-only file that never keeps a partial write."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

from lbc.files.lock import lock

SYNC_SECONDS = 1.0


class AppendFile:
    """Unbuffered, all-or-nothing appends, synced to disk about once a second."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("ab", buffering=0)
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
