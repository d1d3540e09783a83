"""What is added to the records of a run while it is trained, as the events of its training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from lbc.runs.events import Event, Intervened, MethodNumbers, Resumed
from lbc.runs.interventions import FILE as INTERVENTIONS
from lbc.runs.interventions import read_interventions
from lbc.runs.method_numbers import read_numbers
from lbc.runs.metrics import EPOCH_COLUMNS, STEP_COLUMNS, as_epochs, as_steps
from lbc.runs.opened_run import OpenedRun
from lbc.runs.record_tail import Column, RecordTail, stamp_of

T = TypeVar("T")


class RunTail:
    """Reads what follows the steps and epochs of an opened run. For one thread."""

    def __init__(self, run: OpenedRun) -> None:
        self._folder = run.folder
        self._steps = _Rows(run.folder / "steps.records", STEP_COLUMNS, as_steps, run.steps)
        self._epochs = _Rows(run.folder / "epochs.records", EPOCH_COLUMNS, as_epochs, run.epochs)
        self._numbers = run.numbers
        self._log = run.folder / INTERVENTIONS
        self._log_stamp: object = None
        self._interventions: int | None = None
        self._incomplete = False

    def read(self) -> list[Event]:
        """The events since the last call, or since the run was opened.

        A run that was resumed from an earlier checkpoint begins with a ``Resumed`` that has all of
        its steps and epochs. Raises OSError if a file cannot be read, ValueError if it is damaged.
        """
        again, self._incomplete = self._incomplete, True  # unless nothing fails
        steps, epochs = self._steps.read(), self._epochs.read()
        events: list[Event] = []
        if again or steps is None or epochs is None:
            whole = self._steps.read_all(), self._epochs.read_all()
            self._numbers = read_numbers(self._folder)
            events.append(Resumed(self._folder, *whole, numbers=self._numbers))
        else:
            events += [*steps, *epochs, *(self._read_numbers() if epochs else ())]
        events += self._read_interventions()
        self._incomplete = False
        return events

    def _read_numbers(self) -> Sequence[MethodNumbers]:
        """Those that were written with the epochs, of which a method may have none."""
        known, self._numbers = len(self._numbers), read_numbers(self._folder)
        return self._numbers[known:]

    def _read_interventions(self) -> Sequence[Intervened]:
        stamp, known = stamp_of(self._log), self._interventions
        if stamp == self._log_stamp and known is not None:
            return ()
        done = read_interventions(self._folder)
        self._log_stamp, self._interventions = stamp, len(done)
        return () if known is None else done[known:]


class _Rows(Generic[T]):
    """The rows of one record file."""

    def __init__(
        self,
        path: Path,
        columns: Sequence[str],
        convert: Callable[[Sequence[Column], Path], tuple[T, ...]],
        known: Sequence[T],
    ) -> None:
        self._tail, self._convert = RecordTail(path, columns), convert
        self._count, self._last = len(known), known[-1] if known else None

    def read(self) -> tuple[T, ...] | None:
        """The new rows; None if some that were read before have been replaced."""
        if not self._tail.changed:
            return ()
        same, columns = self._tail.read()
        rows = self._convert(columns, self._tail.path)
        if not same:  # all rows, of which those known should come first
            known, rows = rows[: self._count], rows[self._count :]
            if len(known) < self._count or (known and known[-1] != self._last):
                return None
        self._count += len(rows)
        self._last = rows[-1] if rows else self._last
        return rows

    def read_all(self) -> tuple[T, ...]:
        """All rows, which are known from now on."""
        self._tail.restart()
        _, columns = self._tail.read()
        rows = self._convert(columns, self._tail.path)
        self._count, self._last = len(rows), rows[-1] if rows else None
        return rows
