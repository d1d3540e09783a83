"""The columns of runs as values of plot axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lbc.files.printable import printable
from lbc.library.columns import Frame, Numbers
from lbc.library.formats import heading
from lbc.library.run_cost import COSTS, RunCost
from lbc.library.run_summary import RunSummary

LOWER_IS_BETTER = {"density", "duration", "epochs", "memory", *COSTS}

_CHOICES = ("method", "n:m", "seed")
_MEASURED = ("accuracy", "best", "density", "duration", "steps/s", "memory", "epoch")


@dataclass(frozen=True)
class AxisValues:
    """One value per run, NaN where it has none; of texts their place among ``categories``."""

    name: str
    title: str
    values: Numbers
    categories: tuple[str, ...] = ()

    @property
    def is_result(self) -> bool:
        """Whether a run can be judged by it."""
        return self.name in _MEASURED or self.name in COSTS

    @property
    def range(self) -> tuple[float, float] | None:
        """The least and greatest value; None without any."""
        known = self.values[np.isfinite(self.values)]
        return (float(known.min()), float(known.max())) if len(known) else None

    @property
    def spans_decades(self) -> bool:
        """Whether a logarithmic axis fits: all positive, and a factor of 30 or more apart."""
        low, high = self.range or (0.0, 0.0)
        return not self.categories and 0 < 30 * low <= high

    def text(self, at: int) -> str:
        """The value of a run as it is displayed."""
        value = self.values[at]
        if np.isnan(value):
            return "–"
        return self.categories[int(value)] if self.categories else f"{value:.5g}"


class RunValues:
    """The columns of some runs, with their ``costs`` as far as these are known."""

    def __init__(self, runs: Sequence[RunSummary], costs: Mapping[Path, RunCost]) -> None:
        self.runs = tuple(runs)
        self._frame = Frame(runs)
        self._costs = [costs.get(run.folder, RunCost()) for run in runs]

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that can be drawn: what was measured, what it cost, what was chosen."""
        return (*_MEASURED, *COSTS, *_CHOICES, *self._frame.differing_settings)

    @property
    def differing(self) -> tuple[str, ...]:
        """What was chosen differently, and then what came of it."""
        names = (*_CHOICES, *self._frame.differing_settings, "density", "duration", "accuracy")
        return tuple(name for name in names if len(set(self._frame.values(name)) - {None}) > 1)

    def axis(self, name: str) -> AxisValues:
        """The values of a column. Raises KeyError if there is none of this name."""
        if name in COSTS:
            costs = [COSTS[name](cost) for cost in self._costs]
            return AxisValues(name, name, np.array(costs, dtype=np.float64))
        title, cells = heading(self._frame.column(name)), self._frame.values(name)
        if all(isinstance(cell, int | float) for cell in cells if cell is not None):
            title = f"{title} s" if name == "duration" else title
            return AxisValues(name, title, self._frame.numbers(name))
        ranks = self._frame.ranks(name)
        pairs = zip(ranks, cells, strict=True)
        ranked = {rank: printable(str(cell)) for rank, cell in pairs if cell is not None}
        kept = sorted(ranked)
        places = np.where(np.isnan(ranks), np.nan, np.searchsorted(kept, ranks))
        return AxisValues(name, title, places, tuple(ranked[rank] for rank in kept))
