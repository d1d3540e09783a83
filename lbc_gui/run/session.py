"""The run the window shows: its state, its threads, and what arrives from them."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import Enum
from functools import partial
from pathlib import Path

from PySide6.QtCore import QObject, QThread, Signal, Slot

from lbc.config import Experiment
from lbc.following.open_mirrors import mirror_in
from lbc.following.trainer_file import TrainerInfo, trainer_of
from lbc.pictures.live_picture import Part
from lbc.pictures.moment_copier import Pin
from lbc.runs.effective_experiment import replaced
from lbc.runs.events import (
    Commanded,
    Event,
    Finished,
    Intervened,
    Intervention,
    Prepared,
    Resumed,
    Settings,
    Started,
    Steering,
    StorageProblem,
)
from lbc.runs.opened_run import OpenedRun
from lbc.runs.run_state import Parent, RunError, read_state
from lbc.training.allocator import return_freed_memory, share_heap
from lbc.training.control import Control
from lbc_gui.run.following_thread import FollowingThread, TrainerChanged, is_shown_live
from lbc_gui.run.renderer import RenderThread
from lbc_gui.run.snapshot_broker import Request
from lbc_gui.run.training_thread import TrainingThread
from lbc_gui.turns import call_later, shorten_turns
from lbc_gui.worker import Failed


class State(Enum):
    """READY: prepared, no step taken, nothing on disk.

    WAITING: not prepared, because that would run code from elsewhere before the user presses Run.
    OPENED: a run on disk, which no process trains. One that another process trains has the state
    that it has there.
    """

    LOADING = "loading"
    WAITING = "waiting"
    READY = "ready"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"
    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"
    OPENED = "opened"

    @property
    def over(self) -> bool:
        return self in (State.FINISHED, State.STOPPED, State.FAILED, State.OPENED)


class Session(QObject):
    """Owns the threads that train and draw, and emits what they produce in the window's thread.

    A run is started at once but paused, so that its layers and first scores can be seen; Run, Step
    and Pause then control it. ``load`` replaces it by another, or by itself from the same seed.
    """

    state_changed = Signal(object)
    """State."""
    events_arrived = Signal(object)
    """Sequence of events, oldest first."""
    snapshot_arrived = Signal(object)
    """Snapshot or MaskSnapshot of the last request."""
    thumbnails_arrived = Signal(object)
    flips_arrived = Signal(object)
    """Tuple of Thumbnail, one for each layer that has changed."""
    moments_arrived = Signal(object)
    """Tuple of MomentInfo: the moments of the run that can be shown again."""
    fork_points_arrived = Signal(object)
    """Tuple of ForkPoint: the checkpoints of the run at which a fork can begin."""
    life_arrived = Signal(object)
    """Life: the biography of the pinned block, as it grows."""
    pin_weights_arrived = Signal(object)
    """PinnedWeights, during training."""
    failed = Signal(str, str)
    """Something could not be shown: a sentence, and details for a bug report."""
    trainer_changed = Signal(object)
    """TrainerChanged: another process begins or ends to train the run on disk, or is paused."""
    opened = Signal(object)
    """OpenedRun: a run on disk replaces the one before."""
    parent_found = Signal(object)
    """Parent: the run on screen is a fork."""
    loaded = Signal()
    """A new run begins; what was drawn of the one before is void."""
    deleted = Signal(object)
    """The folder of the run on screen, which was deleted or moved."""
    ended = Signal()
    """The last thread has ended, after ``close``."""

    def __init__(self, runs: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        share_heap()
        shorten_turns()
        self.runs = runs
        self.state = State.LOADING
        self.experiment: Experiment | None = None
        self.prepared: Prepared | None = None
        self.folder: Path | None = None
        self.forked_from: Parent | None = None
        """The parent of the run on screen, if that is a fork."""
        self.trainer: TrainerInfo | None = None
        """The process that trains the run on screen, if it is not this one."""
        self.finished_folder: Path | None = None
        self._thread: TrainingThread | FollowingThread | None = None
        self._pending: Callable[[], None] | None = None
        self._renderer = RenderThread(self)
        self._renderer.drained.connect(self._drain)

    def load(self, experiment: Experiment, run: bool = False, resume: Path | None = None) -> None:
        """Discard the present run and prepare ``experiment``; with ``run``, train at once.

        ``resume`` is the folder of a run of this experiment that is to be resumed.
        """
        self._replace(partial(self._prepare, experiment, run, resume))

    def hold(self, experiment: Experiment) -> None:
        """Discard the present run and prepare nothing until ``load`` is called."""
        self._replace(partial(self._wait, experiment))

    @Slot(object)
    def open(self, run: OpenedRun) -> None:
        """Discard the present run and show one on disk."""
        self._replace(partial(self._show_opened, run))

    def close(self) -> None:
        """End the run and the threads; ``ended`` follows."""
        self._replace(self._end)

    def _replace(self, pending: Callable[[], None]) -> None:
        """Discard the present run; ``pending`` follows once its thread has ended."""
        if self._thread is None and self._pending is None:
            pending()
            return
        self._pending = pending
        if self._thread is not None:
            self._thread.control.discard()

    def run(self) -> None:
        """Start or resume training; a run that is over starts again from its seed."""
        if self.experiment is not None and self.state.over:
            self.load(self.experiment, run=True)
        elif self._thread is not None:
            self._thread.control.run()
            self._expect(State.RUNNING if self.prepared else State.LOADING)

    def pause(self) -> None:
        if self._thread is not None and self.state is State.RUNNING:
            self._thread.control.pause()
            self._expect(State.PAUSED)

    def step(self) -> None:
        """Take one optimiser step, then pause."""
        if self._thread is not None and self.state in (State.READY, State.RUNNING, State.PAUSED):
            self._thread.control.step()
            self._expect(State.PAUSED)

    def stop(self) -> None:
        """End the run; what it learned stays on disk and on screen."""
        if self._thread is not None and self.state in (State.RUNNING, State.PAUSED):
            self._thread.control.stop()
            self._expect(State.STOPPING)

    @Slot(object)
    def intervene(self, intervention: Intervention) -> None:
        """Pin or ban a combination while training is paused; this starts a run that is ready."""
        if self._thread is not None and self.state in (State.READY, State.PAUSED):
            self._thread.control.intervene(intervention)
            self._expect(State.PAUSED)

    def steer(self, settings: Settings) -> None:
        """Change settings of the run in training, before its next step."""
        if self._thread is not None and self.steerable:
            self._thread.control.intervene(Steering(settings))

    @property
    def steerable(self) -> bool:
        """Whether settings of the run can change now."""
        return self.state in (State.RUNNING, State.PAUSED)

    def look(self, request: Request) -> None:
        """Show ``request`` from now on."""
        self._renderer.broker.ask(request)

    @Slot(object)
    def show_part(self, part: Part) -> None:
        """This part of the picture is visible."""
        self._renderer.broker.part = part

    @Slot(object)
    def show_thumbnails_of(self, layers: frozenset[str]) -> None:
        self._renderer.broker.listed = layers

    @Slot(object)
    def watch_pins(self, pins: tuple[Pin, ...]) -> None:
        self._renderer.broker.pins = pins

    @property
    def training(self) -> bool:
        """Whether closing now would interrupt a run."""
        ongoing = self.state in (State.RUNNING, State.PAUSED, State.STOPPING)
        return ongoing and self.trainer is None

    @property
    def shown_live(self) -> bool:
        """Whether there are pictures of the run as it is now."""
        trained = self.trainer is None or is_shown_live(self.trainer)
        return trained and self.state is not State.OPENED

    @property
    def unprepared(self) -> bool:
        """Whether the run failed before there was anything to see of it."""
        return self.state is State.FAILED and self.prepared is None

    @property
    def live(self) -> bool:
        """Whether a thread of the run has to end before the application may, or what follows it
        has yet to begin."""
        return self._thread is not None or self._pending is not None

    @property
    def described(self) -> str:
        """The state, and where and by whom the run is trained if by another process."""
        by = "" if self.trainer is None else f", trained by {self.trainer.label}"
        mirror = None if self.folder is None else mirror_in(self.folder)
        where = "" if mirror is None else f" on {mirror.state.server}"
        if mirror is not None and not mirror.state.connected:
            where += ", not connected"
        return f"{self.state.value}{where}{by}"

    @Slot()
    def _drain(self) -> None:
        """Emit what was drawn since the last time, after the events that precede it."""
        if self._thread is not None:
            self._thread.drain()
        broker = self._renderer.broker
        drawn = broker.drawn
        for value, arrived in (
            (drawn.moments.take(), self.moments_arrived),
            (drawn.fork_points.take(), self.fork_points_arrived),
            (drawn.snapshot.take(), self.snapshot_arrived),
            (drawn.life.take(), self.life_arrived),
            (drawn.weights.take(), self.pin_weights_arrived),
            (drawn.flips.take(), self.flips_arrived),
            (drawn.deleted.take(), self.deleted),
        ):
            if value is not None:
                arrived.emit(value)
        if thumbnails := drawn.thumbnails.take():
            self.thumbnails_arrived.emit(tuple(thumbnails.values()))
        while broker.failures:
            failed = broker.failures.popleft()
            self.failed.emit(failed.message, failed.details)

    @Slot(object)
    def _receive(self, events: Sequence[Event | Failed]) -> None:
        for event in events:
            match event:
                case Prepared():
                    self.prepared = event
                    paused = self._thread is not None and self._thread.control.paused
                    self._set_state(State.READY if paused else State.RUNNING)
                case StorageProblem() | Commanded(command="pause" | "step"):
                    self._set_state(State.PAUSED)
                case Commanded():
                    running = event.command == "run"
                    self._set_state(State.RUNNING if running else State.STOPPING)
                case TrainerChanged():
                    self._follow(event)
                case Finished() if isinstance(self._thread, FollowingThread):
                    self.finished_folder = event.folder if event.status == "finished" else None
                case Finished():
                    finished = event.status == "finished"
                    if finished:
                        self.finished_folder = event.folder
                    self._set_state(State.FINISHED if finished else State.STOPPED)
                case Failed() if not isinstance(self._thread, FollowingThread):
                    self._set_state(State.FAILED)
                case Started() | Resumed():
                    self.folder = event.folder
                    self._read_history()
                case Intervened():
                    if isinstance(event.intervention, Steering) and self.experiment is not None:
                        self.experiment = replaced(self.experiment, event.intervention.settings)
                    self._read_history()
        self.events_arrived.emit(events)
        resumed = [event.folder for event in events if isinstance(event, Resumed)]
        if resumed:
            with suppress(RunError):
                self._show_parent(read_state(resumed[-1]).parent)

    def _show_parent(self, parent: Parent | None) -> None:
        self.forked_from = parent
        if parent is not None:
            self.parent_found.emit(parent)

    def _prepare(self, experiment: Experiment, run: bool, resume: Path | None) -> None:
        control = Control(paused=not run)
        self._switch(experiment, control)
        self._set_state(State.LOADING)
        self.loaded.emit()
        broker = self._renderer.broker
        self._start(TrainingThread(experiment, self.runs, resume, control, broker, self))

    def _show_opened(self, run: OpenedRun) -> None:
        self._switch(run.experiment)
        self.folder, self.trainer = run.folder, trainer_of(run.folder)
        self.finished_folder = run.folder if run.status == "finished" else None
        self._set_state(state_of(self.trainer))
        self.loaded.emit()
        self.opened.emit(run)
        self._show_parent(run.parent)
        self._read_history()
        if run.status != "finished":  # else no process can train it again
            self._start(FollowingThread(run, self.trainer, self._renderer.broker, self))

    def _follow(self, change: TrainerChanged) -> None:
        self.trainer = change.trainer
        self.state = state_of(change.trainer)
        self.state_changed.emit(self.state)
        self.trainer_changed.emit(change)

    def _start(self, thread: TrainingThread | FollowingThread) -> None:
        self._thread = thread
        thread.arrived.connect(self._receive)
        thread.ended.connect(self._thread_ended)
        thread.launch(QThread.Priority.LowPriority)

    def _wait(self, experiment: Experiment) -> None:
        self._switch(experiment)
        self._set_state(State.WAITING)
        self.loaded.emit()

    def _switch(self, experiment: Experiment, control: Control | None = None) -> None:
        self.experiment = experiment
        self.prepared = self.finished_folder = self.folder = None
        self.trainer = self.forked_from = None
        self._renderer.switch(control)

    def _read_history(self) -> None:
        if self.folder is not None:
            self._renderer.broker.history.put(self.folder)

    @Slot()
    def _thread_ended(self) -> None:
        if self._thread is not None:
            self._thread.deleteLater()
            self._thread = None
        call_later(self, self._free)

    @Slot()
    def _free(self) -> None:
        if self.prepared is not None and self._thread is None:  # else there is no network
            gc.collect()  # network and optimizer refer to one another: free them now
            return_freed_memory()
        call_later(self, self._begin_pending)

    @Slot()
    def _begin_pending(self) -> None:
        if self._thread is None and self._pending is not None:
            pending, self._pending = self._pending, None
            pending()

    def _end(self) -> None:
        self._renderer.close()
        self._renderer.wait()
        self.ended.emit()

    def _expect(self, state: State) -> None:
        """Show what a command leads to; a process elsewhere says itself that it has obeyed."""
        if self.trainer is None:
            self._set_state(state)

    def _set_state(self, state: State) -> None:
        if state is not self.state:
            self.state = state
            self.state_changed.emit(state)


def state_of(trainer: TrainerInfo | None) -> State:
    """The state of a run on disk."""
    return State.OPENED if trainer is None else State(trainer.state)
