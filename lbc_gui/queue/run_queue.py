"""Connects the queue with the form, the log and the message bar."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path

from PySide6.QtCore import QObject, Signal, Slot
from PySide6.QtWidgets import QApplication, QWidget

from lbc.config import Experiment
from lbc.queue.commands import add, add_repetition, add_variations, start
from lbc.queue.entries import Entry
from lbc.queue.variations import Variations
from lbc_gui.experiment.experiment_panel import ExperimentPanel
from lbc_gui.queue.follower import Command, Done, QueueFollower, QueueMoment, Refused
from lbc_gui.queue.queue_panel import QueuePanel, describe_states
from lbc_gui.widgets.message_bar import MessageBar


class RunQueue(QObject):
    """Queues the experiment in the form and its variations, and says when the queue has ended."""

    said = Signal(str)
    """A sentence for the log."""
    failed = Signal(str, str)
    """A sentence, and details."""
    filled = Signal(bool)
    """There are entries; True if this window has just added some."""

    def __init__(
        self, runs: Path, form: ExperimentPanel, message: MessageBar, window: QWidget
    ) -> None:
        super().__init__(window)
        self._runs, self._form, self._message, self._window = runs, form, message, window
        self.panel = QueuePanel(runs)
        self.moment = QueueMoment()
        self._variations: Command | None = None
        self.following = QueueFollower(runs, self)
        self.following.arrived.connect(self._arrived)
        self.following.failed.connect(self.failed)
        self.panel.asked.connect(self.following.ask)
        form.variations_requested.connect(self._queue_variations)

    @Slot()
    def add(self) -> None:
        """Queue the experiment in the form."""
        experiment = self._form.experiment
        if experiment is not None:
            self.following.ask(_Addition(lambda: [add(self._runs, experiment)], self._runs))

    def repeat(self, experiment: Experiment, seeds: Collection[int]) -> None:
        """Queue an experiment, whose runs have ``seeds``, with another seed."""
        self.following.ask(
            _Addition(lambda: [add_repetition(self._runs, experiment, seeds)], self._runs)
        )

    @Slot(object, int)
    def _queue_variations(self, variations: Variations, seeds: int) -> None:
        experiment = self._form.experiment
        if experiment is not None:
            adding = partial(add_variations, self._runs, experiment, variations, seeds)
            self._variations = _Addition(adding, self._runs)
            self.following.ask(self._variations)

    @Slot(object)
    def _arrived(self, events: Sequence[object]) -> None:
        for event in events:
            match event:
                case QueueMoment():
                    self._show(event)
                case Done(command=_Addition(), result=int(count)):
                    self.said.emit(f"Queued {count:,} run{'s' if count > 1 else ''}.")
                    if event.command is self._variations:
                        self._form.vary.clear()
                    self.filled.emit(True)
                case Refused() if event.command is self._variations:
                    self._form.vary.show_problem(event.message)
                case Refused():
                    self.failed.emit(event.message, "")

    def _show(self, moment: QueueMoment) -> None:
        before, self.moment = self.moment, moment
        self.panel.show_moment(moment)
        if moment.queue.entries and not before.queue.entries:
            self.filled.emit(False)
        left = [one.queue.count("waiting", "running") for one in (before, moment)]
        if left[0] and not left[1]:
            sentence = f"The queue has ended: {describe_states(moment.queue)}."
            self.said.emit(sentence)
            QApplication.alert(self._window)
            if self._message.isHidden():
                failed = moment.queue.count("failed") > 0
                self._message.show_message(sentence, notice=not failed)


class _Addition:
    """Adds entries and lets them be trained; returns how many."""

    def __init__(self, adding: Callable[[], Sequence[Entry]], runs: Path) -> None:
        self._adding, self._runs = adding, runs

    def __call__(self) -> int:
        count = len(self._adding())
        start(self._runs)
        return count
