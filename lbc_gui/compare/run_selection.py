"""Which runs are shown and compared. The table and every pane mirror it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Signal

from lbc.library.run_summary import RunSummary

MOST_COMPARED = 100
"""The largest number of runs that the panes compare."""


@dataclass(frozen=True)
class Selection:
    """``shown`` are the runs that pass the filter, in the order of the table.

    ``selected``, ``hovered`` and ``baseline`` are folders of shown runs.
    """

    shown: tuple[RunSummary, ...] = ()
    selected: frozenset[Path] = frozenset()
    hovered: Path | None = None
    baseline: Path | None = None

    @property
    def compared(self) -> tuple[RunSummary, ...]:
        """The selected runs if there are any, else all that are shown; at most MOST_COMPARED."""
        chosen = (run for run in self.shown if run.folder in self.selected)
        runs = tuple(chosen) if self.selected else self.shown
        return runs[:MOST_COMPARED]


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

    @property
    def selection(self) -> Selection:
        return self._selection

    def show_runs(self, runs: Sequence[RunSummary]) -> None:
        """Show these runs; what is selected among them stays selected."""
        folders = {run.folder for run in runs}
        now = self._selection
        self._set(
            shown=tuple(runs),
            selected=now.selected & folders,
            hovered=now.hovered if now.hovered in folders else None,
            baseline=now.baseline if now.baseline in folders else None,
        )

    def select(self, folders: Iterable[Path]) -> None:
        """Select these runs and no others."""
        shown = {run.folder for run in self._selection.shown}
        self._set(selected=frozenset(folders) & shown)

    def toggle(self, folder: Path) -> None:
        """Select a run beside the others, or no longer."""
        self.select(self._selection.selected ^ {folder})

    def hover(self, folder: Path | None) -> None:
        """Set the run under the pointer."""
        self._set(hovered=folder)

    def set_baseline(self, folder: Path | None) -> None:
        """Set the run that others are compared with."""
        self._set(baseline=folder)

    def _set(self, **changes: Any) -> None:
        before, self._selection = self._selection, replace(self._selection, **changes)
        if self._selection != before:
            self.changed.emit(before, self._selection)
