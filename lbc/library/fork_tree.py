"""Which runs are forks of which, as the rows of a tree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from lbc.library.differences import differing_settings, value_text
from lbc.library.run_summary import RunSummary, Value
from lbc.runs.parent_run import parent_places


@dataclass(frozen=True)
class Branch:
    """A run of a family; the rows of its forks follow its own.

    ``run`` is None for a parent that is not there, of which only the ``name`` is known. ``parent``
    is the row of the parent; None for the first run of a family.
    """

    name: str
    run: RunSummary | None
    parent: int | None = None
    depth: int = 0

    @property
    def start(self) -> float:
        """The epoch at which the run leaves its parent, 0 if it has none."""
        return self.run.parent_epoch if self.run else 0.0


class Families:
    """The forks among some runs, and their parents."""

    def __init__(self, runs: Sequence[RunSummary]) -> None:
        forks = [run for run in runs if run.parent_folder]
        by_place = {run.folder.absolute(): run for run in runs} if forks else {}
        self._parents = {run.folder: _parent(run, by_place) for run in forks}
        self._forks: dict[Path | str, list[RunSummary]] = {}
        for fork in sorted(forks, key=lambda run: (run.parent_epoch, run.started, run.folder)):
            parent = self._parents[fork.folder]
            key = fork.parent_folder if parent is None else parent.folder
            self._forks.setdefault(key, []).append(fork)
        self._runs = runs

    def parent(self, run: RunSummary) -> RunSummary | None:
        """The parent of a run; None if it has none, or that is not among the runs."""
        return self._parents.get(run.folder)

    def rows(self) -> tuple[Branch, ...]:
        """Every run that is a fork or has forks, each family in the order of the runs."""
        rows: list[Branch] = []
        missing: set[str] = set()
        for run in self._runs:
            if not run.parent_folder and run.folder in self._forks:
                self._add(rows, Branch(run.title, run), run.folder)
            elif run.parent_folder not in ("", *missing) and self.parent(run) is None:
                missing.add(run.parent_folder)
                name = PurePath(run.parent_folder).name
                self._add(rows, Branch(name, None), run.parent_folder)
        return tuple(rows)

    def _add(self, rows: list[Branch], branch: Branch, key: Path | str) -> None:
        waiting = [(branch, key)]
        while waiting:  # no recursion: forks of forks may be many
            branch, key = waiting.pop()
            rows.append(branch)
            at = len(rows) - 1
            waiting += [
                (Branch(fork.title, fork, at, branch.depth + 1), fork.folder)
                for fork in reversed(self._forks.get(key, ()))
            ]


def describe_changes(parent: RunSummary, fork: RunSummary) -> str:
    """What a fork changes, such as ``schedule.end 8 → 10``; empty if nothing."""
    return ", ".join(
        "{} {} → {}".format(setting.key, *map(_text, setting.values))
        for setting in differing_settings([parent.parameters, fork.parameters])
        if setting.key != "name"
    )


def _text(value: Value | None) -> str:
    return "–" if value is None else value_text(value)


def _parent(run: RunSummary, by_place: Mapping[Path, RunSummary]) -> RunSummary | None:
    places = [at.absolute() for at in parent_places(run.folder, run.parent_folder)]
    found = (by_place[at] for at in places if at in by_place)
    return next((parent for parent in found if parent.folder != run.folder), None)
