"""The thread that follows a run which another process trains, or may train again."""

from __future__ import annotations

import os
import platform
import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject

from lbc.files.os_errors import explain
from lbc.files.printable import printable
from lbc.following.commands import send
from lbc.following.open_mirrors import mirror_in
from lbc.following.run_tail import RunTail
from lbc.following.trainer_file import TrainerInfo, trainer_of
from lbc.following.watch import KINDS, WatchedRun, as_watch_request
from lbc.pictures.moment_copier import Kind, Pace, PinnedWeights
from lbc.runs.events import Command, Finished, Intervention, InterventionRefused, Steering
from lbc.runs.opened_run import OpenedRun
from lbc.runs.run_state import RunDocument, read_state
from lbc_gui.run.snapshot_broker import SnapshotBroker
from lbc_gui.worker import Failed, Worker, describe

if TYPE_CHECKING:  # at run time it is imported with the first run on a server
    from lbc.following.screen import Screen

LOOK_SECONDS = 0.1
"""Interval of looks at the folder of a run that is being trained."""

FRUGAL_SECONDS = 1.0
"""The least interval of pictures, and of points of the curves, while training may use all
processors of this computer."""

RETRY_SECONDS = 10.0
"""Seconds after a failure until the run is again shown as it is."""

IDLE_SECONDS = 1.0
"""Interval of looks at the folder of a run that is not."""


@dataclass(frozen=True)
class TrainerChanged:
    """Another process trains the run now, or is paused; None if none does.

    ``live``: it shows the run as it is now; without, recorded moments are shown as they come.
    ``status`` is that of a run on disk, and ``message`` a sentence on how training ended.
    """

    trainer: TrainerInfo | None
    live: bool
    status: str
    message: str = ""


class SentCommands:
    """Commands to the process that trains a run, as ``Control`` has them for one trained here."""

    paused = stopped = False

    def __init__(self) -> None:
        self.queue: deque[Command | Intervention | Steering] = deque()
        self.changed = threading.Event()
        self.discarded = False

    def run(self) -> None:
        self._send("run")

    def pause(self) -> None:
        self._send("pause")

    def step(self) -> None:
        self._send("step")

    def stop(self) -> None:
        self._send("stop")

    def intervene(self, intervention: Intervention | Steering) -> None:
        self._send(intervention)

    def discard(self) -> None:
        """Follow the run no longer; its training is not affected."""
        self.discarded = True
        self.changed.set()

    def _send(self, command: Command | Intervention | Steering) -> None:
        self.queue.append(command)
        self.changed.set()


class FollowingThread(Worker):
    """Posts what happens to a run on disk, and gives ``broker`` copies of it as it is now."""

    def __init__(
        self,
        run: OpenedRun,
        trainer: TrainerInfo | None,
        broker: SnapshotBroker,
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self.control = SentCommands()
        self._folder, self._status = run.folder, run.status
        self._trainer, self._broker = trainer, broker
        self._tail, self._watched = RunTail(run), WatchedRun(run.folder)
        self._mirror, self._based = mirror_in(run.folder), -1
        self._live = is_shown_live(trainer)
        self._notices = 0 if trainer is None else trainer.notices
        self._retry, self._read_pace = Pace(), Pace()
        self._shown = -1
        self._failure, self._failures = "", 0

    def work(self) -> None:
        control = self.control
        try:
            while not control.discarded and self._look():
                control.changed.wait(self._interval)
                control.changed.clear()
        finally:
            self._watched.close()

    @property
    def _interval(self) -> float:
        if self._trainer is None:
            return IDLE_SECONDS
        return FRUGAL_SECONDS / 4 if self._broker.frugal else LOOK_SECONDS

    def failure(self, error: Exception) -> Failed:
        return describe(f"The run {self._folder} can be followed no longer", error)

    def _look(self) -> bool:
        """Post what is new; False if there is no run any more, or none that can be trained."""
        if not self._folder.is_dir():
            self._set_trainer(None, "deleted")
            return False
        try:
            self._follow(trainer_of(self._folder))
            self._failure = ""
        except (OSError, ValueError) as error:
            what = f"The run {self._folder} cannot be read"
            self._fail(describe(what, error, ValueError).message)
        return self._status != "finished"

    def _follow(self, trainer: TrainerInfo | None) -> None:
        ended = trainer is None and self._trainer is not None
        if trainer is not None:
            self._set_trainer(trainer, "running")
            self._send_commands(trainer)
        self._broker.frugal = trainer is not None and may_use_all_processors(trainer.host)
        if ended or self._read_pace.due:
            for event in self._tail.read():
                self.post(event)
            self._read_pace.rest(FRUGAL_SECONDS if self._broker.frugal else 0.0)
        if ended:
            self._say_end(read_state(self._folder))
        elif trainer is not None and is_shown_live(trainer) and self._retry.due:
            self._take_copies(trainer)

    def _set_trainer(self, trainer: TrainerInfo | None, status: str, message: str = "") -> None:
        before, self._trainer = self._trainer, trainer
        token = "" if before is None else before.token
        if trainer is None or trainer.token != token:
            self._live, self._notices = is_shown_live(trainer), 0
        if trainer is not None and trainer.notices > self._notices:
            self._notices = trainer.notices
            self.post(InterventionRefused(printable(trainer.notice)))
        if (trainer, status) != (before, self._status):
            self._status = status
            self.post(TrainerChanged(trainer, self._live, status, message))

    def _say_end(self, state: RunDocument) -> None:
        """Say how a training process has ended."""
        self._watched.close()
        match state.status:
            case "finished" | "stopped" as over:
                self.post(
                    Finished(over, state.accuracy, state.density, state.seconds, self._folder)
                )
                self._set_trainer(None, over)
            case "failed":
                self._set_trainer(None, "failed", printable(state.message) or "The run failed.")
            case _ if self._mirror is not None:
                where = self._mirror.state
                self._set_trainer(None, "deleted" if where.over else "cut off", where.message or (
                    f"The process on {where.server} that trained {self._folder.name} has ended "
                    "without finishing the run, which can be resumed there."
                ))  # fmt: skip
            case _:
                self._set_trainer(None, "cut off", (
                    f"The process that trained {self._folder.name} has ended without finishing the "
                    "run, which can be resumed from its last checkpoint."
                ))  # fmt: skip

    def _send_commands(self, trainer: TrainerInfo) -> None:
        queue = self.control.queue
        while queue:
            command = queue.popleft()
            if self._mirror is not None and not self._mirror.state.connected:
                server = self._mirror.state.server
                sentence = f"The command was not sent: there is no connection to {server}."
                self.post(InterventionRefused(sentence))
                continue
            if not trainer.commandable:
                self.post(InterventionRefused(
                    f"The program that trains the run ({trainer.label}) is of another version, and "
                    "takes no commands from this one: give them there."
                ))  # fmt: skip
                continue
            try:
                send(self._folder, command, trainer.token)
            except OSError as error:
                what = f"The command could not be written into {self._folder}"
                self.post(InterventionRefused(explain(error, what)))

    def _take_copies(self, trainer: TrainerInfo) -> None:
        broker = self._broker
        if self._mirror is not None:
            self._take_pictures(trainer, self._mirror.screen)
            return
        try:
            self._watched.ask(as_watch_request(trainer.token, broker.requested))
            taken = self._watched.take([kind for kind in KINDS if self._is_ready(kind, trainer)])
        except OSError as error:
            self._show_live(False, explain(error, f"{self._folder} cannot be written"))
            return
        except ValueError:
            self._show_live(False, "Its pictures are damaged, or of another version.")
            return
        self._show_live(True)
        for kind, frame in taken:
            if kind == "layer":
                for moment in frame.moments:
                    if broker.put_layer(frame.number, moment):
                        self._shown = frame.number
                        broker.copy_pace.rest(FRUGAL_SECONDS if broker.frugal else 0.0)
            elif kind == "samples":
                broker.put_samples(frame.moments)
            elif frame.weights is not None:
                broker.put_weights(frame.weights)

    def _is_ready(self, kind: Kind, trainer: TrainerInfo) -> bool:
        """Whether the next copy of a kind can be drawn; what the window newly shows is at once."""
        broker = self._broker
        paces = {"layer": broker.copy_pace, "samples": broker.sample_pace}
        new = trainer.paused or broker.requested.number != self._shown
        return broker.has_room(kind) and (new or kind not in paces or paces[kind].due)

    def _show_live(self, live: bool, reason: str = "") -> None:
        """Show the run as it is now, or if that is impossible recorded moments as they come."""
        if not live:
            self._retry.rest(RETRY_SECONDS)
        if live is self._live:
            return
        self._live = live
        self.post(TrainerChanged(self._trainer, live, self._status))
        if reason:
            self.post(
                InterventionRefused(f"Only recorded moments of the run can be shown. {reason}")
            )

    def _take_pictures(self, trainer: TrainerInfo, screen: Screen) -> None:
        """Take what a server has drawn; until it has, show the last recorded moment."""
        broker = self._broker
        demand, requested = broker.demand, broker.requested
        request = None if demand is None or not demand.live else demand.request
        screen.show(as_watch_request(trainer.token, requested), request, broker.part)
        if request is not None and requested.number != self._based:
            self._based = requested.number
            broker.put_layer(requested.number, None)
        for arrived in screen.take():
            match arrived:
                case (number, picture):
                    broker.put_layer(number, picture)
                case PinnedWeights():
                    broker.put_weights(arrived)
                case dict():
                    broker.put_samples(arrived.values())

    def _fail(self, sentence: str) -> None:
        """Say what failed, once: at the second time, as a file may just be being replaced."""
        self._failures = self._failures + 1 if sentence == self._failure else 1
        self._failure = sentence
        if self._failures == 2:
            self.post(Failed(sentence))


def is_shown_live(trainer: TrainerInfo | None) -> bool:
    """Whether a training process can show the run as it is now."""
    return trainer is not None and trainer.commandable


def may_use_all_processors(host: str) -> bool:
    """Whether training, and what else runs, leaves none of this computer's processors idle."""
    if host != platform.node() or not hasattr(os, "getloadavg"):
        return False
    return os.getloadavg()[0] > (os.cpu_count() or 1) - 0.5
