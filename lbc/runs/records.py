"""Metrics as fixed binary records: a JSON line that names the columns, then float64 rows.

A hundred thousand rows load in milliseconds, and a run killed in mid-write loses at most the row
it was writing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lbc.files.append_file import AppendFile
from lbc.files.small_file import open_regular, read_small

Columns = dict[str, npt.NDArray[np.float64]]

SIZE_LIMIT = 1 << 28
"""Bytes: 6.7 million steps."""


class RecordWriter:
    """Appends rows to a new or existing record file; an incomplete last row is removed first.

    The file is locked while it is open. ``timeout``: seconds to wait for another's lock,
    after which BlockingIOError is raised.
    """

    def __init__(self, path: Path, columns: Sequence[str], timeout: float = 0.0) -> None:
        self.columns = tuple(columns)
        self._header = (json.dumps({"columns": self.columns}) + "\n").encode()
        self._width = 8 * len(columns)
        self._file = AppendFile(path)
        if not self._file.lock(timeout):
            self._file.close()
            raise BlockingIOError(11, "another process is writing it", str(path))
        self._file.begin(self._header)
        with open_regular(path) as written:
            if written.read(len(self._header)) != self._header:
                self._file.close()
                raise ValueError(f"{path} is damaged: its columns are not {', '.join(columns)}.")
        self.truncate(self.rows)

    @property
    def rows(self) -> int:
        """Number of whole rows in the file."""
        return (self._file.size - len(self._header)) // self._width

    def truncate(self, rows: int) -> None:
        """Keep the first ``rows`` only. Raises ValueError if there are fewer."""
        if self.rows < rows:
            raise ValueError(f"{self._file.path} holds {self.rows} rows, but {rows} are needed.")
        self._file.truncate(len(self._header) + rows * self._width)

    def append(self, row: Sequence[float]) -> None:
        """Write one row. Raises OSError, leaving only whole rows, if the disk is full."""
        self._file.append(np.asarray(row, dtype="<f8").tobytes())

    def sync(self) -> None:
        """Force every row to the disk."""
        self._file.sync()

    def close(self) -> None:
        self._file.close()


def read_records(path: Path) -> Columns:
    """The columns of a record file, each (rows,), without an incomplete last row.

    Raises OSError if the file cannot be read, and ValueError if it is not one.
    """
    data = read_small(path, SIZE_LIMIT)
    head, newline, body = data.partition(b"\n")
    columns = parse_header(head + newline, path)
    width = len(columns)
    rows = len(body) // (8 * width) if width else 0
    table = np.frombuffer(body[: rows * 8 * width], dtype="<f8").reshape(rows, width)
    return {name: table[:, k].copy() for k, name in enumerate(columns)}


def parse_header(line: bytes, path: Path) -> list[str]:
    """The columns that the first line of a record file names; none if the line is cut off.

    Raises ValueError if it names none.
    """
    try:
        return [str(name) for name in json.loads(line)["columns"]] if line.endswith(b"\n") else []
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{path} is not a metrics file: its first line names no columns."
        ) from error
