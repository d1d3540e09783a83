"""Reads and changes the queue in a thread: its files may be on a slow disk."""

from __future__ import annotations

import queue
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from PySide6.QtCore import QObject

from lbc.config.strict_yaml import ExperimentError
from lbc.files.os_errors import explain
from lbc.queue.commands import read_queue, working
from lbc.queue.entries import Entry, Queue, QueueError
from lbc.queue.progress import Progress, progress_of
from lbc_gui.worker import Failed, Job, Worker, describe

POLL_SECONDS = 1.0

Command = Callable[[], object]


@dataclass(frozen=True)
class QueueMoment:
    """The queue, how far its entries are, and whether a process trains it."""

    queue: Queue = field(default_factory=Queue)
    progress: dict[int, Progress] = field(default_factory=dict)
    working: bool = False
    notice: str = ""


@dataclass(frozen=True)
class Done:
    """A command has been carried out, and what it returned."""

    command: Command
    result: object


@dataclass(frozen=True)
class Refused:
    """A command is impossible; ``message`` says why."""

    command: Command
    message: str


class QueueFollower(Job):
    """Emits a QueueMoment whenever the queue has changed, and Done or Refused for each command."""

    def __init__(self, runs: Path, parent: QObject) -> None:
        super().__init__(parent)
        self._worker = _QueueWorker(runs, self)
        self._launch(self._worker)

    def ask(self, command: Command) -> None:
        """Carry a command out, after those before."""
        self._worker.commands.put(command)

    def cancel(self) -> None:
        """End after the commands that were given before."""
        super().cancel()
        self._worker.commands.put(None)


class _QueueWorker(Worker):
    def __init__(self, runs: Path, parent: QObject) -> None:
        super().__init__(parent)
        self.commands: queue.SimpleQueue[Command | None] = queue.SimpleQueue()
        self._runs = runs
        self._known: dict[Entry, Progress] = {}
        self._stamp: object = None
        self._queue = Queue()
        self._problem = ""

    def work(self) -> None:
        shown = None
        while True:
            moment = self._read()
            if moment is not None and moment != shown:
                shown = moment
                self.post(moment)
            try:
                command = self.commands.get(timeout=POLL_SECONDS)
            except queue.Empty:
                continue
            if command is None:
                return
            self._carry_out(command)

    def failure(self, error: Exception) -> Failed:
        return describe("The queue cannot be followed", error)

    def _carry_out(self, command: Command) -> None:
        try:
            self.post(Done(command, command()))
        except (QueueError, ExperimentError) as error:
            self.post(Refused(command, " ".join(str(error).splitlines()[:1])))
        except OSError as error:
            message = explain(error, f"{error.filename or self._runs} cannot be used")
            self.post(Refused(command, message))

    def _read(self) -> QueueMoment | None:
        """The queue now; None if it cannot be read, which is reported once."""
        try:
            stamp = _stamp(self._runs / "queue.json")
            if stamp is None or stamp != self._stamp:
                self._queue, self._stamp = read_queue(self._runs), stamp
        except OSError as error:
            message = explain(error, f"The queue in {self._runs} cannot be read")
            if message != self._problem:
                self._problem = message
                self.post(Failed(message))
            return None
        self._problem = ""
        entries = self._queue.entries
        # What is over does not change; the key of what is not may be the same with other progress.
        over = {one: self._known[one] for one in entries if one in self._known and _rests(one)}
        self._known = {one: over.get(one) or progress_of(self._runs, one) for one in entries}
        progress = {one.id: at for one, at in self._known.items()}
        return QueueMoment(self._queue, progress, working(self._runs), self._queue.notice)


def _rests(entry: Entry) -> bool:
    return entry.state not in ("running", "paused", "cancelled")


def _stamp(file: Path) -> object:
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
