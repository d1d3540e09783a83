"""Tables of runs: which columns are worth showing, the order, seeds folded, differences.

Rows are indices into the runs of a ``Frame``; a table is an array of them, and a group is one too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from lbc.library.columns import Cell, Codes, Frame, Numbers, Rows
from lbc.library.filter import unknown_column

LEADING = ("title", "status")
CHOICES = ("method", "n:m", "seed")
MEASURED = ("accuracy", "density", "duration")
OTHERS = ("progress", "group", "tag", "parent", "note", "device")
IF_ANY = ("problem",)

Groups = Sequence[Rows]


@dataclass(frozen=True)
class Statistics:
    """Of each group, in the unit that is displayed: mean, sample deviation (n − 1) and n.

    NaN where a group has no value, or one only. Once a run of a group is finished, only finished
    runs count.
    """

    mean: Numbers
    deviation: Numbers
    count: Codes

    def best(self) -> int | None:
        """The group with the largest mean, None without values."""
        return None if np.isnan(self.mean).all() else int(np.nanargmax(self.mean))


@dataclass(frozen=True)
class Pivot:
    """Statistics of one column for each pair of values of two others; None where there is no run.

    ``cells[i][j]`` is the index in ``statistics`` of ``down[i]`` and ``across[j]``.
    """

    names: tuple[str, str, str]
    down: tuple[Cell, ...]
    across: tuple[Cell, ...]
    cells: tuple[tuple[int | None, ...], ...]
    statistics: Statistics


def relevant_columns(frame: Frame, rows: Rows) -> tuple[str, ...]:
    """The columns to show: what was chosen differently first, and nothing that is alike in all.

    Runs that could not be read do not make a setting differ.
    """
    read = rows[frame.distinct("method")[1][rows] >= 0]
    chosen = [name for name in (*CHOICES, *frame.differing_settings) if _differs(frame, read, name)]
    measured = [name for name in MEASURED if _occurs(frame, rows, name)]
    others = [name for name in OTHERS if _differs(frame, rows, name)]
    others += [name for name in IF_ANY if _occurs(frame, rows, name)]
    return (*LEADING, *chosen, *measured, *others)


def _occurs(frame: Frame, rows: Rows, name: str) -> bool:
    return bool((frame.distinct(name)[1][rows] >= 0).any())


def _differs(frame: Frame, rows: Rows, name: str) -> bool:
    codes = frame.distinct(name)[1][rows]
    return bool(codes.size and (codes != codes[0]).any())


def parse_sort(text: str, frame: Frame) -> tuple[tuple[str, bool], ...]:
    """``"accuracy desc, n:m asc"`` as columns and whether they fall; ``-accuracy`` falls too.

    Raises FilterError.
    """
    keys = []
    for part in filter(None, map(str.strip, text.split(","))):
        named = part.removesuffix(" asc").rstrip()
        name = named.removeprefix("-").removesuffix(" desc").rstrip()
        try:
            keys.append((frame.column(name).name, named != name))
        except KeyError:
            raise unknown_column(name, frame, text.find(name), len(name)) from None
    return tuple(keys)


def sort_rows(frame: Frame, rows: Rows, keys: Sequence[tuple[str, bool]]) -> Rows:
    """The rows sorted by columns, the first of them foremost; True for falling order.

    Missing values are last in both orders, and equal rows keep theirs. See ``Frame.ranks``.
    """
    for name, falling in reversed(keys):
        ranks = frame.ranks(name)[rows]
        rows = rows[np.argsort(-ranks if falling else ranks, kind="stable")]
    return rows


def fold_seeds(frame: Frame, rows: Rows) -> tuple[Rows, ...]:
    """Groups of runs that differ in nothing but seed, name and device."""
    return group_rows(frame, rows, ("method", "n:m", "group", *frame.differing_settings))


def group_rows(frame: Frame, rows: Rows, names: Sequence[str]) -> tuple[Rows, ...]:
    """Groups of runs that are alike in these columns, in the order of their first runs."""
    codes = np.stack([frame.distinct(name)[1][rows] for name in names], axis=1)
    keys = np.ascontiguousarray(codes).view(f"V{codes.itemsize * codes.shape[1]}").ravel()
    index: dict[bytes, int] = {}
    of = np.array([index.setdefault(key, len(index)) for key in keys.tolist()], dtype=np.int64)
    ordered = rows[np.argsort(of, kind="stable")]
    ends = np.cumsum(np.bincount(of, minlength=len(index))).tolist()
    return tuple(ordered[start:end] for start, end in pairwise([0, *ends]))


def describe_groups(frame: Frame, groups: Groups, name: str) -> Statistics:
    """Mean, deviation and count of a column in every group."""
    count = len(groups)
    rows = np.concatenate([*groups, np.empty(0, dtype=np.int64)])
    of = np.repeat(np.arange(count), [len(group) for group in groups])
    statuses, codes = frame.distinct("status")
    finished = np.array([*(status == "finished" for status in statuses), False])[codes[rows]]
    values = frame.numbers(name)[rows]
    some_finished = np.bincount(of, finished, count) > 0
    used = ~np.isnan(values) & (finished | ~some_finished[of])
    of, values = of[used], values[used]
    counts = np.bincount(of, minlength=count)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(of, values, count) / counts
        squares = np.bincount(of, (values - mean[of]) ** 2, count)
        deviation = np.where(counts > 1, np.sqrt(squares / (counts - 1)), np.nan)
    return Statistics(mean, deviation, counts)


def common_values(frame: Frame, groups: Groups, name: str) -> list[Cell]:
    """For every group the value that its runs share, None if they differ."""
    distinct, codes = frame.distinct(name)
    if not groups:
        return []
    starts = np.cumsum([0, *map(len, groups[:-1])])
    of_groups = codes[np.concatenate(groups)]
    lowest = np.minimum.reduceat(of_groups, starts)
    shared = np.where(lowest == np.maximum.reduceat(of_groups, starts), lowest, -1)
    return [distinct[code] if code >= 0 else None for code in shared.tolist()]


def differences(frame: Frame, rows: Rows, name: str, baseline: int) -> Numbers:
    """A column minus its value in the baseline's row, in the unit that is displayed."""
    numbers = frame.numbers(name)
    change: Numbers = numbers[rows] - numbers[baseline]
    return change


def pivot(frame: Frame, rows: Rows, down: str, across: str, value: str) -> Pivot:
    """``value`` for each pair of values of the columns ``down`` and ``across``. Raises KeyError."""
    down, across, value = (frame.column(name).name for name in (down, across, value))
    groups = group_rows(frame, rows, (down, across))
    places = zip(*(common_values(frame, groups, name) for name in (down, across)), strict=True)
    index = {place: at for at, place in enumerate(places)}
    lines, columns = _sorted_values(frame, rows, down), _sorted_values(frame, rows, across)
    cells = tuple(tuple(index.get((line, column)) for column in columns) for line in lines)
    return Pivot(
        (down, across, value), lines, columns, cells, describe_groups(frame, groups, value)
    )


def _sorted_values(frame: Frame, rows: Rows, name: str) -> tuple[Cell, ...]:
    groups = group_rows(frame, sort_rows(frame, rows, [(name, False)]), [name])
    return tuple(common_values(frame, groups, name))
