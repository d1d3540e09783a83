"""Runs as columns: what tables show of them, and what filters compare."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from math import nan
from typing import Literal

import numpy as np
import numpy.typing as npt

from lbc.config import Experiment
from lbc.library.run_summary import RunSummary, flatten_experiment

Cell = str | int | float | tuple[str, ...] | None
"""A value of a run. None if it has none; a tuple of tags; flags are "yes" or "no"."""

Kind = Literal["text", "tags", "flag", "time", "number", "percent", "seconds", "setting"]
"""What a column holds. "percent" columns hold fractions, "time" ISO texts, "setting" any value."""

Codes = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

NUMERIC: tuple[Kind, ...] = ("number", "percent", "seconds", "setting")


@dataclass(frozen=True)
class Column:
    """A column, by the name that filters use."""

    name: str
    kind: Kind
    read: Callable[[RunSummary], Cell]


def _accuracy(run: RunSummary) -> float | None:
    return run.accuracies[-1] if run.accuracy is None and run.accuracies else run.accuracy


def _best(run: RunSummary) -> float | None:
    return max((share for share in run.accuracies if share == share), default=None)


def _flag(value: bool) -> str:
    return "yes" if value else "no"


def _problem(run: RunSummary) -> str:
    """The reason first: which folder it is about, the row says."""
    folder = str(run.folder)
    reason = run.problem.replace(folder + os.sep, "")
    return f"It{reason.removeprefix(folder)}" if reason.startswith(f"{folder} ") else reason


def _known(run: RunSummary, value: Cell) -> Cell:
    """A value that a run which cannot be read does not have."""
    return None if run.status == "unreadable" else value


RESULTS = {
    column.name: column
    for column in (
        Column("title", "text", lambda run: run.title),
        Column("star", "flag", lambda run: _flag(run.annotations.star)),
        Column("status", "text", lambda run: run.status),
        Column("tag", "tags", lambda run: run.annotations.tags or None),
        Column("group", "text", lambda run: run.annotations.group),
        Column("method", "text", lambda run: run.method),
        Column("n:m", "text", lambda run: run.pattern),
        Column("seed", "number", lambda run: run.seed),
        Column("accuracy", "percent", _accuracy),
        Column("best", "percent", _best),
        Column("density", "percent", lambda run: run.density),
        Column("epoch", "number", lambda run: _known(run, run.epoch)),
        Column("epochs", "number", lambda run: run.epochs or None),
        Column("progress", "percent", lambda run: run.epoch / run.epochs if run.epochs else None),
        Column("duration", "seconds", lambda run: _known(run, run.seconds)),
        Column("steps/s", "number", lambda run: run.speed),
        Column("memory", "number", lambda run: run.memory),
        Column("started", "time", lambda run: run.started),
        Column("updated", "time", lambda run: run.updated),
        Column("device", "text", lambda run: run.device),
        Column("parent", "text", lambda run: run.parent),
        Column("note", "text", lambda run: run.annotations.note),
        Column("archived", "flag", lambda run: _flag(run.annotations.archived)),
        Column("name", "text", lambda run: run.name),
        Column("message", "text", lambda run: run.message),
        Column("problem", "text", _problem),
        Column("folder", "text", lambda run: str(run.folder)),
    )
}
"""The columns that every run has. ``accuracy`` is the last one known."""

OTHER_NAMES = {"pattern": "n:m", "tags": "tag", "seconds": "duration"}

REPEATED = {"version", "name", "pattern", "method", "seed", "device"}
"""Settings that are among the results, or the same in every run."""


@cache
def default_settings() -> tuple[str, ...]:
    """The settings that every experiment has, in the order of its file."""
    return tuple(name for name in flatten_experiment(Experiment()) if name not in REPEATED)


class Frame:
    """Some runs, with their columns. Columns are made when asked for, and kept."""

    def __init__(self, runs: Sequence[RunSummary]) -> None:
        self.runs = tuple(runs)
        self._values: dict[str, list[Cell]] = {}
        self._distinct: dict[str, tuple[list[Cell], Codes]] = {}
        self._numbers: dict[str, Numbers] = {}
        self._ranks: dict[str, Numbers] = {}

    @cached_property
    def settings(self) -> tuple[str, ...]:
        """The settings that occur, those of every experiment first."""
        known = dict.fromkeys(default_settings())
        for names in self._by_names:
            known |= dict.fromkeys(names)
        return tuple(name for name in known if name not in REPEATED)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all columns."""
        return (*RESULTS, *self.settings)

    def column(self, name: str) -> Column:
        """A column by its name or another one of it. Raises KeyError if there is none."""
        name = OTHER_NAMES.get(name, name)
        if name in RESULTS:
            return RESULTS[name]
        if name in default_settings() or name in self.settings:
            return Column(name, "setting", lambda run: _plain(run.parameters.get(name)))
        raise KeyError(name)

    def cell(self, column: Column, row: int) -> Cell:
        """One cell, without making the column."""
        return _cleaned(column.read(self.runs[row]))

    def values(self, name: str) -> list[Cell]:
        """The cells of a column, None where a run has no value. Raises KeyError."""
        column = self.column(name)
        values = self._values.get(column.name)
        if values is None:
            values = self._values[column.name] = [_cleaned(column.read(run)) for run in self.runs]
        return values

    def distinct(self, name: str) -> tuple[list[Cell], Codes]:
        """The distinct values of a column, and for each run the index of its own, −1 for none."""
        known = self._distinct.get(name)
        if known is None:
            values = self.values(name)
            distinct: list[Cell] = [cell for cell in dict.fromkeys(values) if cell is not None]
            index = {cell: at for at, cell in enumerate(distinct)}
            index[None] = -1
            codes = np.fromiter(map(index.__getitem__, values), np.int64, len(values))
            known = self._distinct[name] = distinct, codes
        return known

    def ranks(self, name: str) -> Numbers:
        """Numbers in the order of a column's values, NaN where there is none.

        Numbers come before texts, and digits within texts count as numbers.
        """
        if self.column(name).kind in ("number", "percent", "seconds"):
            return self.numbers(name)
        known = self._ranks.get(name)
        if known is None:
            distinct, codes = self.distinct(name)
            known = np.full(len(distinct) + 1, nan)
            known[sorted(range(len(distinct)), key=lambda at: _natural(distinct[at]))] = np.arange(
                len(distinct)
            )
            known = self._ranks[name] = known[codes]
        return known

    def numbers(self, name: str) -> Numbers:
        """A column as it is displayed, fractions in per cent; NaN where a run has no number."""
        known = self._numbers.get(name)
        if known is None:
            cells = self.values(name)
            known = np.array([cell if isinstance(cell, int | float) else nan for cell in cells])
            known = known.astype(np.float64)
            if self.column(name).kind == "percent":
                known = np.round(100 * known, 9)  # without the noise of the last digits
            self._numbers[name] = known
        return known

    @cached_property
    def differing_settings(self) -> tuple[str, ...]:
        """The settings with more than one value, or in some runs only, as ``settings`` orders them.

        Runs that could not be read do not count.
        """
        readable = [run.parameters for run in self.runs if run.parameters]
        alike = dict(readable[0]) if readable else {}
        for parameters in readable:
            if not alike.items() <= parameters.items():
                alike = {key: value for key, value in alike.items() if value == parameters.get(key)}
        occurring = set().union(*self._by_names)
        return tuple(name for name in self.settings if name in occurring and name not in alike)

    @cached_property
    def _by_names(self) -> set[tuple[str, ...]]:
        return {tuple(run.parameters) for run in self.runs}


def _natural(cell: Cell) -> tuple[object, ...]:
    if isinstance(cell, int | float):
        return 0, cell
    text = ", ".join(cell) if isinstance(cell, tuple) else str(cell)
    parts = re.split(r"([0-9]+)", text.casefold())
    digits = [(len(part.lstrip("0")), part.lstrip("0")) for part in parts[1::2]]
    return 1, parts[0], *(each for pair in zip(digits, parts[2::2], strict=True) for each in pair)


def _plain(value: str | float | bool | None) -> Cell:
    return str(value).lower() if isinstance(value, bool) else value


def _cleaned(cell: Cell) -> Cell:
    # A NaN differs from itself.
    return None if cell == "" or cell != cell else cell
