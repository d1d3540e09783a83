"""A log of events with their time, a line each; single steps are not logged."""

from __future__ import annotations

from datetime import datetime

from PySide6.QtWidgets import QPlainTextEdit

from lbc.files.printable import counted
from lbc.runs.events import (
    CheckpointNotKept,
    Commanded,
    EpochDone,
    Event,
    Finished,
    Intervened,
    InterventionRefused,
    Prepared,
    Resumed,
    Started,
    StorageProblem,
    Untrained,
)
from lbc_gui.worker import Failed

MOST_LINES = 1000
"""Qt keeps 6 kB for each."""


class LogPanel(QPlainTextEdit):
    """Read-only; the newest line stays in view."""

    def __init__(self) -> None:
        super().__init__()
        self.setReadOnly(True)
        self.setMaximumBlockCount(MOST_LINES)
        self.setAccessibleName("Log")

    def say(self, sentence: str) -> None:
        self.appendPlainText(f"{datetime.now():%H:%M:%S}  {sentence}")

    def add(self, event: Event | Failed) -> None:
        """Log one event, unless it is a single step."""
        sentence = describe(event)
        if sentence:
            self.say(sentence)


def describe(event: Event | Failed) -> str:
    """An event as a sentence; empty for single steps."""
    match event:
        case Prepared():
            dense = ", ".join(f"{name} ({reason})" for name, reason in event.skipped)
            ready = (
                f"Ready: {counted(len(event.layers), 'sparse layer')}, "
                f"{counted(event.steps, 'step')} in {counted(event.epochs, 'epoch')}. "
                f"Dense: {dense or 'none'}."
            )
            return " ".join([ready, *event.notes])
        case Started():
            return f"Training starts; the run is kept in {event.folder}."
        case Resumed():
            resumed = (
                f"Resumed the run in {event.folder} after {counted(len(event.steps), 'step')}."
            )
            return f"{event.warning} {resumed}".lstrip()
        case EpochDone():
            return (
                f"Epoch {event.epoch}: loss {event.train_loss:.4f}, test accuracy "
                f"{event.accuracy:.2%}, {max(event.live):,} live, density {event.density:.1%}."
            )
        case Intervened():
            return f"{event.intervention.described} after {counted(event.step, 'step')}."
        case Commanded():
            return event.described
        case (
            StorageProblem() | InterventionRefused() | Untrained() | CheckpointNotKept() | Failed()
        ):
            return event.message
        case Finished(folder=None):
            return ""  # the run had not begun
        case Finished():
            accuracy = "" if event.accuracy is None else f" Test accuracy {event.accuracy:.2%}."
            return (
                f"{event.status.capitalize()} after {event.seconds:.0f} s.{accuracy} "
                f"Density {event.density:.1%}. Kept in {event.folder}."
            )
    return ""
