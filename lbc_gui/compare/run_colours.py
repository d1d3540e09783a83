"""One colour for every run that is compared, the same in all panes and in the table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from math import ceil
from pathlib import Path

from PySide6.QtGui import QColor

from lbc.library.differences import identify_experiment
from lbc.library.run_summary import RunSummary
from lbc_gui.theme import DARK, LIGHT, colours

COUNT = min(len(LIGHT.runs), len(DARK.runs))
"""Colours; more runs than this share them evenly."""


class RunColours:
    """A run keeps its colour as long as it is compared, unless a colour can be shared less."""

    def __init__(self) -> None:
        self._places: dict[Path, int] = {}

    def show(self, runs: Iterable[RunSummary]) -> None:
        """Give colours to these runs and no others.

        The first run of each experiment has its colour before the repetitions with other seeds:
        a line that folds them has the colour of the first.
        """
        experiments: dict[object, list[Path]] = {}
        for run in runs:
            key = identify_experiment(run.parameters) if run.parameters else run.folder
            experiments.setdefault(key, []).append(run.folder)
        firsts = [folders[0] for folders in experiments.values()]
        others = [folder for folders in experiments.values() for folder in folders[1:]]
        kept = Counter(self._places[one] for one in (*firsts, *others) if one in self._places)
        places: dict[Path, int] = {}
        for folders in (firsts, others):
            most = ceil((len(places) + len(folders)) / COUNT)
            used = Counter(places.values())
            for folder in sorted(folders, key=lambda one: one not in self._places):
                place = self._places.get(folder)
                if place is None or used[place] >= most:
                    place = min(range(COUNT), key=lambda at: (used[at], kept[at]))
                places[folder] = place
                used[place] += 1
        self._places = places

    def of(self, folder: Path) -> QColor:
        """The colour of a compared run, under the present palette."""
        return QColor(colours().runs[self._places.get(folder, 0)])
