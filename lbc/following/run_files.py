"""The files of a run on the server, and what a viewer does not have of them yet."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from lbc.files.small_file import open_regular
from lbc.following.block_sums import BLOCK, BlockSums
from lbc.following.messages import Grown, Held, Part, Small, Whole

LARGEST_GROWN = 1 << 36
LARGEST_SMALL = 1 << 20

FULL_SECONDS = 2.0
"""After so long without a look at a file, all of it is compared: it may have been cut and have
grown again beyond the last block."""

Stamp = tuple[int, int, int]


class GrowingFile:
    """A file that grows, but begins anew at an earlier place when the run is resumed."""

    def __init__(self, folder: Path, name: Grown, held: Held | None) -> None:
        """Raises ValueError if ``held`` contradicts itself."""
        self._path, self._name = folder / name, name
        self._sums = BlockSums(held.size, list(held.sums)) if held else BlockSums()
        self._stamp: Stamp | None = None
        self._looked = 0.0
        self._size = 0

    @property
    def sent(self) -> int:
        """Bytes that the viewer has."""
        return self._sums.size

    @property
    def missing(self) -> int:
        """Bytes that the viewer lacks, as far as is known."""
        return max(0, self._size - self._sums.size)

    def next_part(self) -> Part | None:
        """The next bytes for the viewer; None if it has all. Raises OSError."""
        try:
            with _open(self._path, LARGEST_GROWN) as file:
                return self._next_part(file)
        except FileNotFoundError:
            return None  # not begun yet, or deleted: the viewer keeps what it has

    def _next_part(self, file: BufferedReader) -> Part | None:
        stamp, now, offset = _stamp(file), time.monotonic(), self._sums.size
        if stamp != self._stamp:
            fresh = self._stamp is not None and now - self._looked < FULL_SECONDS
            offset = self._sums.common(file, blocks=1 if fresh else None)
            self._stamp, self._size = stamp, stamp[1]
        self._looked = now
        if offset == self._sums.size and self._size <= offset:
            return None
        self._sums.cut(offset)
        file.seek(offset)
        data = file.read(BLOCK - offset % BLOCK)
        self._sums.extend(data)
        return Part(self._name, offset, data=data)


class SmallFile:
    """A small file that is replaced as a whole."""

    def __init__(self, folder: Path, name: Small) -> None:
        self._path, self._name = folder / name, name
        self._stamp: Stamp | None = None
        self._sent = False

    def news(self) -> Whole | None:
        """The file, if it is not what it was; None if it is. Raises OSError."""
        try:
            with _open(self._path, LARGEST_SMALL) as file:
                stamp = _stamp(file)
                if self._sent and stamp == self._stamp:
                    return None
                self._stamp, self._sent = stamp, True
                return Whole(self._name, True, data=file.read(LARGEST_SMALL))
        except FileNotFoundError:
            if self._sent and self._stamp is None:
                return None
            self._stamp, self._sent = None, True
            return Whole(self._name, False)


@contextmanager
def _open(path: Path, limit: int) -> Iterator[BufferedReader]:
    """Open a file of the folder itself: a link could lead anywhere. Raises OSError."""
    if path.is_symlink():
        raise FileNotFoundError(2, "links are not followed", str(path))
    with open_regular(path, limit) as file:
        yield file


def _stamp(file: BufferedReader) -> Stamp:
    found = os.fstat(file.fileno())
    return found.st_ino, found.st_size, found.st_mtime_ns
