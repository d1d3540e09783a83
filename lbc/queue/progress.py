"""How far the run of an entry is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lbc.queue.entries import Entry
from lbc.runs.run_state import RunError, read_state


@dataclass(frozen=True)
class Progress:
    """Finished epochs, and the test accuracy after the last, from 0 to 1."""

    epoch: int = 0
    accuracy: float | None = None


def progress_of(runs: Path, entry: Entry) -> Progress:
    """Read the progress of an entry; none if its run has not begun or cannot be read."""
    try:
        state = read_state(runs / entry.folder)
    except RunError:
        return Progress()
    return Progress(state.epoch, state.accuracy)
