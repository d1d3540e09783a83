"""The metrics of a run, read as the events that were recorded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from lbc.runs.events import EpochDone, StepDone
from lbc.runs.record_tail import Column
from lbc.runs.records import Columns, read_records

STEP_COLUMNS = ("step", "epoch", "loss", "lr", "seconds")
EPOCH_COLUMNS = (
    "epoch", "train_loss", "test_loss", "accuracy", "live", "density", "seconds",
)  # fmt: skip
LARGEST_COUNT = 1 << 53


def read_steps(folder: Path) -> tuple[StepDone, ...]:
    """Every step of a run, oldest first. Raises as ``read_metrics``."""
    path = folder / "steps.records"
    return as_steps(list(read_metrics(path, STEP_COLUMNS).values()), path)


def read_epochs(folder: Path) -> tuple[EpochDone, ...]:
    """Every epoch of a run, oldest first, with the live combinations of its largest layer alone."""
    path = folder / "epochs.records"
    return as_epochs(list(read_metrics(path, EPOCH_COLUMNS).values()), path)


def as_steps(columns: Sequence[Column], path: Path) -> tuple[StepDone, ...]:
    """The rows of STEP_COLUMNS. Raises ValueError if one is impossible."""
    _check_counts(dict(zip(STEP_COLUMNS, columns, strict=True)), path)
    return tuple(StepDone(int(step), *rest) for step, *rest in _rows(columns))


def as_epochs(columns: Sequence[Column], path: Path) -> tuple[EpochDone, ...]:
    """The rows of EPOCH_COLUMNS. Raises ValueError if one is impossible."""
    _check_counts(dict(zip(EPOCH_COLUMNS, columns, strict=True)), path)
    return tuple(
        EpochDone(int(epoch), train_loss, test_loss, accuracy, (int(live),), density, seconds)
        for epoch, train_loss, test_loss, accuracy, live, density, seconds in _rows(columns)
    )


def read_metrics(path: Path, names: tuple[str, ...]) -> Columns:
    """The columns ``names`` of a record file, each (rows,).

    Raises OSError if the file cannot be read, and ValueError if it has other columns, or something
    other than a number where steps, epochs or combinations are counted.
    """
    columns = read_records(path)
    missing = [name for name in names if name not in columns]
    if missing or tuple(columns) != names:
        reason = f"it has no column {missing[0]!r}" if missing else "its columns are in disorder"
        raise ValueError(f"{path} is damaged: {reason}.")
    _check_counts(columns, path)
    return columns


def _check_counts(columns: Columns, path: Path) -> None:
    for name in {"step", "epoch", "live"} & columns.keys():
        valid = (columns[name] >= 0) & (columns[name] < LARGEST_COUNT)
        if not valid.all():
            row = int(valid.argmin())
            raise ValueError(f"{path} is damaged: {columns[name][row]} is no {name}, in row {row}.")


def _rows(columns: Sequence[Column]) -> Iterator[tuple[float, ...]]:
    return zip(*(column.tolist() for column in columns), strict=True)
