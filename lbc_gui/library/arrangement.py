"""What the table shows: the runs that pass the filter, in order, folded, and their columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from lbc.library.columns import NUMERIC, Frame, Rows
from lbc.library.filter import filter_rows
from lbc.library.formats import heading
from lbc.library.run_summary import RunSummary
from lbc.library.table import (
    Groups,
    Statistics,
    describe_groups,
    fold_seeds,
    relevant_columns,
    sort_rows,
)

CURVE = "curve"
"""The column that draws the accuracy after each epoch."""

FIRST = ("star", "title", "status", "accuracy", CURVE)
MEASURED = ("percent", "seconds")

MOST_COLUMNS = 40
"""Columns that are shown without being chosen; runs may differ in hundreds of settings."""

WIDTHS = {"star": 26, CURVE: 84}
TIPS = {
    "star": "Runs with a star",
    "accuracy": "Test accuracy after the last epoch, in per cent; the best one is bold",
    CURVE: "Test accuracy after each epoch, from its lowest to its highest",
    "density": "Share of the weights that are kept",
    "duration": "Time of training, without pauses",
    "steps/s": "Steps per second of training, with its removals and tests",
    "memory": "Peak memory of the process that trained it, or of the GPU, in MB",
}


@dataclass(frozen=True)
class ShownColumn:
    """A column, by the name that filters use; without a ``width`` it is as wide as its texts."""

    key: str
    title: str
    tip: str = ""
    number: bool = False
    width: int = 0


Key = Path | tuple[Path, str]


@dataclass(eq=False, slots=True)
class Line:
    """A row: one run, or a group of runs with a line for each of its ``members``.

    ``key`` is the same for the same row of another arrangement. ``row`` is a row of the frame, that
    of the first run of a group, and ``group`` the number of the group in the arrangement.
    ``inner`` lines are members.
    """

    key: Key
    row: int
    runs: tuple[RunSummary, ...]
    members: tuple[Line, ...] = ()
    group: int = -1
    inner: bool = False

    @property
    def faint(self) -> bool:
        """Whether nothing can be read of it, or the user has put it away."""
        return all(run.status == "unreadable" or run.annotations.archived for run in self.runs)

    @property
    def accuracies(self) -> tuple[tuple[float, ...], ...]:
        return tuple(run.accuracies for run in self.runs if run.accuracies)

    @property
    def share_done(self) -> float | None:
        """How far the runs are; None once they are finished, or if that is not known."""
        epochs = sum(run.epochs for run in self.runs)
        if not epochs or all(run.status == "finished" for run in self.runs):
            return None
        return min(1.0, sum(run.epoch for run in self.runs) / epochs)


@dataclass(frozen=True)
class Request:
    """What the user wants to see; ``shown`` and ``hidden`` are columns that differ from
    the relevant ones."""

    filter: str = ""
    sort: str = "started"
    falling: bool = True
    folded: bool = False
    archived: bool = False
    shown: frozenset[str] = frozenset()
    hidden: frozenset[str] = frozenset()


@dataclass(frozen=True, eq=False)
class Arrangement:
    """``rows`` are the runs of ``frame`` that pass the filter, in the order of ``lines``."""

    request: Request = field(default_factory=Request)
    frame: Frame = field(default_factory=lambda: Frame(()))
    rows: Rows = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    groups: Groups = ()
    lines: tuple[Line, ...] = ()
    columns: tuple[ShownColumn, ...] = ()
    best: int = -1
    """The number of the row, or of the group, with the highest accuracy."""
    places: Mapping[Key, int] = field(default_factory=dict)
    """Where the line with a key is."""
    runs: tuple[RunSummary, ...] = ()
    """The rows as runs."""
    archived: int = 0
    """The number of archived runs in ``frame``."""

    @property
    def title_column(self) -> int:
        return next((at for at, one in enumerate(self.columns) if one.key == "title"), 0)

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that have texts."""
        return tuple(one.key for one in self.columns if one.key not in ("star", CURVE))

    @cached_property
    def _statistics(self) -> dict[str, Statistics]:
        return {}

    def statistics(self, name: str) -> Statistics:
        """Mean and deviation of a column in every group."""
        found = self._statistics.get(name)
        if found is None:
            found = self._statistics[name] = describe_groups(self.frame, self.groups, name)
        return found

    def choices(self) -> tuple[ShownColumn, ...]:
        """Every column there is, those that differ first."""
        return _columns(self.frame, (*_relevant(self.frame, self.rows), *self.frame.names))

    def row_of(self, folder: Path | None) -> int | None:
        """The row of a run in ``frame``; None if it is not there."""
        found = (at for at, run in enumerate(self.frame.runs) if run.folder == folder)
        return None if folder is None else next(found, None)

    def group_of(self, row: int) -> int | None:
        """The number of the group that a row of ``frame`` is in."""
        return next((at for at, rows in enumerate(self.groups) if row in rows), None)


def arrange(frame: Frame, request: Request) -> Arrangement:
    """Filter, sort and fold the runs of a frame. Raises FilterError."""
    rows = filter_rows(request.filter, frame)
    put_away = np.array([run.annotations.archived for run in frame.runs], dtype=bool)
    if not request.archived and "archived" not in request.filter:
        rows = rows[~put_away[rows]]
    rows = sort_rows(frame, rows, [(request.sort, request.falling)])
    groups: Groups = ()
    if request.folded and len(rows):
        groups = _sorted_groups(frame, fold_seeds(frame, rows), request)
        rows = np.concatenate(groups)
    relevant = _relevant(frame, rows)[:MOST_COLUMNS]
    names = [name for name in relevant if name not in request.hidden]
    names += [name for name in frame.names if name in request.shown]
    lines = _group_lines(frame, groups) if groups else _run_lines(frame, rows)
    best = -1
    if groups:
        found = describe_groups(frame, groups, "accuracy").best()
        best = -1 if found is None else found
    elif (values := frame.numbers("accuracy")[rows]).size and not np.isnan(values).all():
        best = int(rows[np.nanargmax(values)])
    # Made here and not in the window's thread, also because a path computes its hash once.
    places = {line.key: at for at, line in enumerate(lines)}
    runs = tuple(frame.runs[row] for row in rows.tolist())
    columns = _columns(frame, names)
    archived = int(put_away.sum())
    made = Arrangement(request, frame, rows, groups, lines, columns, best, places, runs, archived)
    for name in made.names if groups else ():
        if frame.column(name).kind in MEASURED:
            made.statistics(name)
    return made


def _sorted_groups(frame: Frame, groups: Groups, request: Request) -> Groups:
    """Groups by the mean of what was measured, else in the order of their first runs."""
    if frame.column(request.sort).kind not in MEASURED:
        return groups
    means = describe_groups(frame, groups, request.sort).mean
    order = np.argsort(-means if request.falling else means, kind="stable")
    return [groups[at] for at in order]


def _run_lines(frame: Frame, rows: Rows) -> tuple[Line, ...]:
    runs = frame.runs
    return tuple(Line(runs[row].folder, row, (runs[row],)) for row in rows.tolist())


def _group_lines(frame: Frame, groups: Groups) -> tuple[Line, ...]:
    lines = []
    for number, rows in enumerate(groups):
        runs = tuple(frame.runs[row] for row in rows.tolist())
        places = zip(rows.tolist(), runs, strict=True)
        inner = tuple(Line(run.folder, row, (run,), inner=True) for row, run in places)
        first = runs[0].folder
        if len(runs) == 1:
            lines.append(Line(first, inner[0].row, runs, group=number))
        else:
            lines.append(Line((first, "group"), inner[0].row, runs, inner, number))
    return tuple(lines)


def _relevant(frame: Frame, rows: Rows) -> tuple[str, ...]:
    """The columns worth showing, the most relevant first."""
    # How far a run is can be seen in its status.
    names = dict.fromkeys((*FIRST, *relevant_columns(frame, rows)))
    return tuple(name for name in names if name != "progress")


def _columns(frame: Frame, names: Iterable[str]) -> tuple[ShownColumn, ...]:
    names = list(dict.fromkeys(names))
    last = [name.rpartition(".")[2] for name in names]
    return tuple(
        _column(frame, name, unique=last.count(short) == 1)
        for name, short in zip(names, last, strict=True)
    )


def _column(frame: Frame, name: str, unique: bool) -> ShownColumn:
    width, tip = WIDTHS.get(name, 0), TIPS.get(name, name)
    if name == CURVE:
        return ShownColumn(name, "over epochs", tip, width=width)
    column = frame.column(name)
    title = {"title": "run", "star": "★"}.get(name, heading(column))
    if column.kind == "setting" and unique:
        title = name.rpartition(".")[2]
    number = column.kind in NUMERIC
    if column.kind == "setting":
        number = all(isinstance(value, int | float) for value in frame.distinct(name)[0])
    return ShownColumn(name, title, tip, number, width)
