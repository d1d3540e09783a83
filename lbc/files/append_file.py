"""A file that grows by whole pieces."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

from lbc.files.lock import lock

SYNC_SECONDS = 1.0


class AppendFile:
    """Unbuffered appends, each whole or not at all, forced to the disk about once a second."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("ab", buffering=0)
        self.size = self._file.tell()
        self._synced = time.monotonic()

    def begin(self, header: bytes) -> None:
        """``append`` the first piece; where the disk refuses it, the file is closed too."""
        try:
            self.append(header)
        except OSError:
            self.close()
            raise

    def append(self, data: bytes) -> None:
        """Raises OSError, with the file as it was, where the disk is full or refuses."""
        try:
            if self._file.write(data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
            if time.monotonic() - self._synced > SYNC_SECONDS:
                self.sync()
        except OSError:
            self.cut(self.size)
            raise
        self.size += len(data)

    def sync(self) -> None:
        """Force to the disk what was appended."""
        os.fsync(self._file.fileno())
        self._synced = time.monotonic()

    def lock(self, patience: float = 0.0) -> bool:
        """Keep other writers away until closed; False where there is one already."""
        return lock(self._file, patience)

    def cut(self, size: int) -> None:
        """Forget everything after ``size`` bytes."""
        if self._file.seekable() and self.path.is_file():
            self._file.truncate(size)
            self.size = size

    def close(self) -> None:
        self._file.close()
