"""Runs that are to be compared as soon as they are listed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lbc.library.run_summary import RunSummary
from lbc_gui.compare.run_selection import RunSelection

MOST_LOOKS = 2
"""Looks at the folders after which a run that was not found is missing."""


class RequestedComparison:
    """Selects the runs in the table, and the baseline among them, when all of them are in it."""

    def __init__(self, selection: RunSelection) -> None:
        self._selection = selection
        self._runs: tuple[Path, ...] = ()
        self._baseline: Path | None = None
        self._looks = 0

    def ask(self, runs: Sequence[Path], baseline: Path | None) -> None:
        self._runs, self._baseline, self._looks = tuple(runs), baseline, 0

    def select(self) -> bool:
        """False if a run is not listed yet."""
        listed = {run.folder.absolute(): run.folder for run in self._selection.selection.shown}
        if not listed.keys() >= {run.absolute() for run in self._runs}:
            return False
        runs, self._runs = self._runs, ()
        if runs:
            self._selection.select(listed[run.absolute()] for run in runs)
            baseline = None if self._baseline is None else listed.get(self._baseline.absolute())
            self._selection.set_baseline(baseline)
        return True

    def missing(self, found: Sequence[RunSummary]) -> Path | None:
        """A run that the looks at the folders so far have not ``found``; it is given up then."""
        self._looks += 1
        if self._looks < MOST_LOOKS:
            return None
        folders = {run.folder.absolute() for run in found}
        missing = next((run for run in self._runs if run.absolute() not in folders), None)
        if missing is not None:
            self._runs = ()
        return missing
