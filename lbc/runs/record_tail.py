"""Columns of a record file that grows, of which every row is read once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from io import BufferedReader
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lbc.files.small_file import open_regular
from lbc.runs.records import SIZE_LIMIT, parse_header

Column = npt.NDArray[np.float64]

HEADER_LIMIT = 1 << 16
"""Bytes of the first line."""


class RecordTail:
    """Reads the rows that were added to a file since it was last read.

    A run that is resumed goes back to its checkpoint and writes other rows; then all are read anew.
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path, self._columns = path, columns
        self._stamp: object = ()
        self._start = self._end = 0
        self._last = b""

    @property
    def changed(self) -> bool:
        """Whether the file has changed, or disappeared, since ``read`` was last called."""
        return stamp_of(self.path) != self._stamp

    def restart(self) -> None:
        """Read all rows the next time."""
        self._start = 0

    def read(self) -> tuple[bool, list[Column]]:
        """Whether the rows before are still there, and the columns of the new ones, each (rows,).

        The columns are views of one buffer. An incomplete last row is left for the next time.
        Raises OSError if the file cannot be read, and ValueError if it is no record file or lacks
        one of the columns.
        """
        self._stamp, known = stamp_of(self.path), self._start
        self.restart()  # unless nothing fails
        with open_regular(self.path, SIZE_LIMIT) as file:
            names = _names(file, self.path, self._columns)
            width, start = 8 * len(names), file.tell()
            file.seek(self._end - len(self._last))
            same = start == known and file.read(len(self._last)) == self._last
            begin = self._end if same else start
            size = os.fstat(file.fileno()).st_size
            file.seek(begin)
            body = bytearray(max(0, size - begin) // width * width)
            rows = file.readinto(body) // width
        self._start, self._end = start, begin + rows * width
        if rows or not same:
            self._last = bytes(body[(rows - 1) * width : rows * width]) if rows else b""
        table = np.frombuffer(body, "<f8", rows * len(names)).reshape(rows, len(names))
        return same, [table[:, names.index(name)] for name in self._columns]


def stamp_of(path: Path) -> object:
    """Differs once a file has changed; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def read_first(path: Path, columns: Sequence[str]) -> list[float]:
    """The values of some columns in the first row. Raises as ``RecordTail.read``, and ValueError
    if there is no row."""
    with open_regular(path, SIZE_LIMIT) as file:
        names = _names(file, path, columns)
        data = file.read(8 * len(names))
    if len(data) < 8 * len(names):
        raise ValueError(f"{path} is cut off: it has no row.")
    row = np.frombuffer(data, dtype="<f8").tolist()
    return [row[names.index(name)] for name in columns]


def _names(file: BufferedReader, path: Path, columns: Sequence[str]) -> list[str]:
    """The columns of a file, which are to include ``columns``; its position is the first row."""
    names = parse_header(file.readline(HEADER_LIMIT), path)
    missing = [name for name in columns if name not in names]
    if missing:
        raise ValueError(f"{path} is damaged: it has no column {missing[0]!r}.")
    return names
