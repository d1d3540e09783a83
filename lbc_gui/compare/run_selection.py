"""Which runs are shown and compared. The table and every pane mirror it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Signal

from lbc.library.run_summary import RunSummary
from lbc_gui.compare.run_colours import RunColours

MOST_COMPARED = 100
"""The largest number of runs that the panes compare."""


@dataclass(frozen=True)
class Selection:
    """``shown`` are the runs that pass the filter, in the order of the table.

    ``selected``, ``hovered`` and ``baseline`` are folders of shown runs. ``restricted`` are those
    that the comparison is restricted to, none if it is not.
    """

    shown: tuple[RunSummary, ...] = ()
    selected: frozenset[Path] = frozenset()
    restricted: frozenset[Path] = frozenset()
    hovered: Path | None = None
    baseline: Path | None = None
    compared: tuple[RunSummary, ...] = ()
    """The runs in the panes, at most MOST_COMPARED, always with one that is selected, if any is."""

    @cached_property
    def runs(self) -> tuple[RunSummary, ...]:
        """Those that would be compared if there were no limit."""
        if not self.restricted:
            return self.shown
        return tuple(run for run in self.shown if run.folder in self.restricted)


def _compared(now: Selection) -> tuple[RunSummary, ...]:
    runs = now.runs[:MOST_COMPARED]
    if now.selected and now.selected.isdisjoint(run.folder for run in runs):
        runs = tuple(run for run in now.shown if run.folder in now.selected) or runs
    return runs


class RunSelection(QObject):
    """The one place that holds the selection.

    Widgets that let the user change it call a method here; widgets that show it connect to
    ``changed``, and change nothing in response.
    """

    changed = Signal(object, object)
    """The Selection before and the Selection now."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._selection = Selection()
        self.colours = RunColours()

    @property
    def selection(self) -> Selection:
        return self._selection

    def show_runs(self, runs: Sequence[RunSummary]) -> None:
        """Show these runs; what is selected among them stays selected."""
        now = self._selection
        marked = now.selected | now.restricted | {now.hovered, now.baseline}
        kept = {run.folder for run in runs if run.folder in marked} if len(marked) > 1 else set()
        self._set(
            shown=tuple(runs),
            selected=now.selected & kept,
            restricted=now.restricted & kept,
            hovered=now.hovered if now.hovered in kept else None,
            baseline=now.baseline if now.baseline in kept else None,
        )

    def select(self, folders: Iterable[Path]) -> None:
        """Select these runs and no others, and compare them if they are several.

        A single one is emphasised among all, or among those compared so far if it is one of them.
        """
        now, chosen = self._selection, self._among_shown(folders)
        if chosen == now.selected:
            return
        if len(chosen) > 1:
            self._set(selected=chosen, restricted=chosen)
        else:
            within = bool(chosen) and chosen <= now.restricted
            self._set(selected=chosen, restricted=now.restricted if within else frozenset())

    def pick(self, folders: Iterable[Path]) -> None:
        """Select these runs, as by a click in a pane, and compare the same as before."""
        self._set(selected=self._among_shown(folders))

    def toggle(self, folder: Path) -> None:
        """Select a run beside the others, or no longer."""
        self.select(self._selection.selected ^ {folder})

    def hover(self, folder: Path | None) -> None:
        """Set the run under the pointer."""
        self._set(hovered=folder)

    def set_baseline(self, folder: Path | None) -> None:
        """Set the run that others are compared with."""
        self._set(baseline=folder)

    def _among_shown(self, folders: Iterable[Path]) -> frozenset[Path]:
        chosen = frozenset(folders)
        return frozenset(run.folder for run in self._selection.shown if run.folder in chosen)

    def _set(self, **changes: Any) -> None:
        before, now = self._selection, replace(self._selection, **changes)
        if now == before:
            return
        if "selected" in changes:
            now = replace(now, compared=_compared(now))
            self.colours.show(now.compared)
        self._selection = now
        self.changed.emit(before, now)
