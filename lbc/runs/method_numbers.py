"""The quantities that a method gives at the end of each epoch, such as a temperature."""

from __future__ import annotations

from pathlib import Path

from lbc.runs.events import MethodNumbers
from lbc.runs.records import RecordWriter, read_records

FILE = "method.records"


class NumbersLog:
    """Appends to the file of a run, which is made with the first numbers of its method."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._file: RecordWriter | None = None

    def truncate(self, epochs: int) -> None:
        """Keep those of the first epochs. Raises ValueError if the file is damaged."""
        if not self._path.exists():
            return
        columns = read_records(self._path)
        self._open(tuple(columns))
        assert self._file is not None
        self._file.truncate(int((columns["epoch"] <= epochs).sum()) if columns else 0)

    def append(self, done: MethodNumbers) -> None:
        """Write one row. Raises OSError, and ValueError if the labels are not those before."""
        if self._file is None:
            self._open(("epoch", *done.numbers))
        assert self._file is not None
        self._file.append([done.epoch, *done.numbers.values()])

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _open(self, columns: tuple[str, ...]) -> None:
        self._file = RecordWriter(self._path, columns)


def read_numbers(folder: Path) -> tuple[MethodNumbers, ...]:
    """The numbers of every epoch of a run, oldest first; none if its method has none.

    Raises OSError if the file cannot be read, and ValueError if it is damaged.
    """
    path = folder / FILE
    if not path.exists():
        return ()
    columns = read_records(path)
    if columns and next(iter(columns)) != "epoch":
        raise ValueError(f"{path} is damaged: it has no column 'epoch'.")
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    names = [*columns][1:]
    return tuple(
        MethodNumbers(epoch, dict(zip(names, values, strict=True))) for epoch, *values in rows
    )
