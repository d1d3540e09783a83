"""The metrics of a run, read as the events that were recorded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lbc.runs.events import EpochDone, StepDone
from lbc.runs.records import read_records


def read_steps(folder: Path) -> tuple[StepDone, ...]:
    """Every step of a run, oldest first. Raises as ``read_records``."""
    rows = _rows(folder / "steps.records")
    return tuple(StepDone(int(step), *rest) for step, *rest in rows)


def read_epochs(folder: Path) -> tuple[EpochDone, ...]:
    """Every epoch of a run, oldest first, with the live combinations of its largest layer alone."""
    return tuple(
        EpochDone(int(epoch), train_loss, test_loss, accuracy, (int(live),), density, seconds)
        for epoch, train_loss, test_loss, accuracy, live, density, seconds in _rows(
            folder / "epochs.records"
        )
    )


def _rows(path: Path) -> Iterator[tuple[float, ...]]:
    return zip(*(column.tolist() for column in read_records(path).values()), strict=True)
