"""Failures in the message bar and the log, for as long as they are true."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

from PySide6.QtCore import SignalInstance

from lbc.runs.events import (
    Event,
    Intervened,
    InterventionRefused,
    StorageProblem,
    Untrained,
)
from lbc_gui.run.log_panel import LogPanel
from lbc_gui.widgets.message_bar import MessageBar
from lbc_gui.worker import Failed


class Source(Protocol):
    """``failed`` with a sentence and details; ``said``, with a sentence, when it succeeds."""

    failed: SignalInstance
    said: SignalInstance


class FailureMessages:
    """Shows what failed until the same thing succeeds."""

    def __init__(self, message: MessageBar, log: LogPanel, status: Callable[[str], object]) -> None:
        """``status`` shows what has succeeded, since the log may be folded."""
        self._message, self._log, self._status = message, log, status

    def show(self, sentence: str, details: str = "", about: object = None) -> None:
        """Show a failure, in the bar and in the log."""
        if not self._message.isVisible() or self._message.text != sentence:
            self._log.say(sentence)  # while it is on screen, one line is enough
        self._message.show_message(sentence, details, about=about)

    def relay(self, *sources: Source) -> None:
        """Show what fails in a source, until it succeeds."""
        for source in sources:
            source.failed.connect(partial(self.show, about=source))
            source.said.connect(partial(self._say, source))

    def add(self, event: Event | Failed) -> None:
        """Show in the bar, or settle, what an event of the run says."""
        match event:
            case StorageProblem() | InterventionRefused() | Untrained():
                self._message.show_message(event.message, about=type(event))
            case Intervened():
                self._message.settle(InterventionRefused)

    def _say(self, source: Source, sentence: str) -> None:
        self._log.say(sentence)
        self._status(sentence)
        self._message.settle(source)
