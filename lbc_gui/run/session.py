"""The run the window shows: its state, its thread, and what arrives from it."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from pathlib import Path

from PySide6.QtCore import QObject, QTimer, Signal, Slot

from lbc.config import Experiment
from lbc.runs.events import (
    Event,
    Finished,
    Intervened,
    Intervention,
    Prepared,
    Resumed,
    Started,
    StorageProblem,
)
from lbc.runs.new_folder import new_run_path
from lbc.runs.opened_run import OpenedRun
from lbc_gui.run.history_follower import Request
from lbc_gui.run.pinned_weights import Pin
from lbc_gui.run.snapshot_broker import Desk
from lbc_gui.run.training_thread import DrawingThread, Failed, TrainingThread

DRAIN_MILLISECONDS = 40
HISTORY_MILLISECONDS = 1000
"""How often a run's history is looked into for new moments."""
CLOSE_SECONDS = 20.0


class State(Enum):
    """Where the run is. READY: prepared, no step taken, nothing on disk.

    WAITING: nothing is prepared yet, because that would run code which nobody has asked for.
    OPENED: a run on disk, which is looked at and not trained here.
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
    """Owns the training thread and turns what it leaves behind into signals of the window's thread.

    A run is started at once but paused, so that its layers and first scores can be seen; Run, Step
    and Pause then command it. ``load`` replaces it by another, or by itself from the same seed.
    """

    state_changed = Signal(object)
    """State."""
    events_arrived = Signal(object)
    """Sequence of events, oldest first."""
    snapshot_arrived = Signal(object)
    """Snapshot or MaskSnapshot, whichever was asked for last."""
    thumbnails_arrived = Signal(object)
    """Tuple of Thumbnail, one for each layer that is new."""
    moments_arrived = Signal(object)
    """Tuple of MomentInfo: the moments of the run that can be shown again."""
    life_arrived = Signal(object)
    """Life: the biography of the pinned block, as it grows."""
    pin_weights_arrived = Signal(object)
    """PinnedWeights, as training goes on."""
    opened = Signal(object)
    """OpenedRun: a run on disk takes the place of the one before."""
    loaded = Signal()
    """A new run begins; what was drawn of the one before is void."""
    ended = Signal()
    """The last thread has gone, after ``close``."""

    def __init__(self, runs: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.runs = runs
        self.state = State.LOADING
        self.experiment: Experiment | None = None
        self.prepared: Prepared | None = None
        self.folder: Path | None = None
        self.finished_folder: Path | None = None
        self._thread: TrainingThread | None = None
        self._next: tuple[Experiment, bool, Path | None] | None = None
        self._held: Experiment | None = None
        self._to_open: OpenedRun | None = None
        self._closing = False
        self._desk = Desk()
        self._drawing = DrawingThread(self._desk)
        self._drain_timer = QTimer(self)
        self._drain_timer.setInterval(DRAIN_MILLISECONDS)
        self._drain_timer.timeout.connect(self.drain)
        self._history_timer = QTimer(self)
        self._history_timer.setInterval(HISTORY_MILLISECONDS)
        self._history_timer.timeout.connect(self._look_into_history)

    def load(self, experiment: Experiment, run: bool = False, resume: Path | None = None) -> None:
        """Discard the present run and prepare ``experiment``; with ``run``, train at once.

        ``resume`` is the folder of a run of this experiment to go on with.
        """
        self._next = (experiment, run, resume)
        self._held = self._to_open = None
        if self._thread is None:
            self._begin()
        else:
            self._thread.control.discard()

    def hold(self, experiment: Experiment) -> None:
        """Discard the present run and prepare nothing until ``load`` asks for it."""
        self._next, self._held, self._to_open = None, experiment, None
        if self._thread is None:
            self._wait()
        else:
            self._thread.control.discard()

    @Slot(object)
    def open(self, run: OpenedRun) -> None:
        """Discard the present run and look at one on disk."""
        self._next, self._held, self._to_open = None, None, run
        if self._thread is None:
            self._show_opened()
        else:
            self._thread.control.discard()

    def run(self) -> None:
        """Train on; a run that is over begins again from its seed."""
        if self.experiment is not None and self.state.over:
            self.load(self.experiment, run=True)
        elif self._thread is not None:
            self._thread.control.run()
            self._set_state(State.RUNNING if self.prepared else State.LOADING)

    def pause(self) -> None:
        if self._thread is not None and self.state is State.RUNNING:
            self._thread.control.pause()
            self._set_state(State.PAUSED)

    def step(self) -> None:
        """One optimiser step, then stand."""
        if self._thread is not None and self.state in (State.READY, State.RUNNING, State.PAUSED):
            self._thread.control.step()
            self._set_state(State.PAUSED)

    def stop(self) -> None:
        """End the run; what it learned stays on disk and on screen."""
        if self._thread is not None and self.state in (State.RUNNING, State.PAUSED):
            self._thread.control.stop()
            self._set_state(State.STOPPING)

    @Slot(object)
    def intervene(self, wish: Intervention) -> None:
        """Pin or ban a combination while the trainer stands; a run not begun has begun then."""
        if self._thread is not None and self.state in (State.READY, State.PAUSED):
            self._thread.control.intervene(wish)
            self._set_state(State.PAUSED)

    def look(self, request: Request) -> None:
        """Ask for snapshots of ``request`` from now on."""
        self._desk.ask(request)

    @Slot(object)
    def show_thumbnails_of(self, layers: frozenset[str]) -> None:
        """Draw the thumbnails of these layers alone from now on."""
        self._desk.show_thumbnails_of(layers)

    @Slot(object)
    def follow_pins(self, pins: tuple[Pin, ...]) -> None:
        """Watch the weights of these blocks from now on."""
        self._desk.pins.follow(pins)

    @property
    def training(self) -> bool:
        """Whether closing now would end a run that has begun and is not over."""
        return self.state in (State.RUNNING, State.PAUSED, State.STOPPING)

    @property
    def live(self) -> bool:
        """Whether a thread is there that must end before the application may."""
        return self._thread is not None

    def close(self) -> None:
        """End the run and the thread; ``ended`` follows."""
        self._closing = True
        self._next = self._held = self._to_open = None
        if self._thread is None:
            self._end()
        else:
            self._thread.control.discard()

    def wait_until_closed(self) -> bool:
        """The backstop of ``close``: block until the threads have gone; False after 20 s."""
        patience = int(CLOSE_SECONDS * 1000)
        self._desk.close()
        trained = self._thread is None or self._thread.wait(patience)
        return trained and self._drawing.wait(patience)

    @Slot()
    def drain(self) -> None:
        """Hand on what the thread has left since the last time."""
        if self._thread is not None:
            events: list[Event | Failed] = []
            while self._thread.events:
                events.append(self._thread.events.popleft())
            if events:
                self._follow(events)
                self.events_arrived.emit(events)
        moments = self._desk.take_moments()
        if moments is not None:
            self.moments_arrived.emit(moments)
        snapshot = self._desk.take()
        if snapshot is not None:
            self.snapshot_arrived.emit(snapshot)
        life = self._desk.take_life()
        if life is not None:
            self.life_arrived.emit(life)
        weights = self._desk.pins.take()
        if weights is not None:
            self.pin_weights_arrived.emit(weights)
        thumbnails = self._desk.take_thumbnails()
        if thumbnails:
            self.thumbnails_arrived.emit(thumbnails)

    def _follow(self, events: Sequence[Event | Failed]) -> None:
        for event in events:
            match event:
                case Prepared():
                    self.prepared = event
                    paused = self._thread is not None and self._thread.control.paused
                    self._set_state(State.READY if paused else State.RUNNING)
                case StorageProblem():
                    self._set_state(State.PAUSED)
                case Finished():
                    over = State.FINISHED if event.status == "finished" else State.STOPPED
                    self._set_state(over)
                    if event.status == "finished":
                        self.finished_folder = event.folder
                case Failed():
                    self._set_state(State.FAILED)
                case Started() | Resumed():
                    self.folder = event.folder
                    self._look_into_history()
                case Intervened():
                    self._look_into_history()

    def _begin(self) -> None:
        assert self._next is not None
        self.experiment, run, resume = self._next
        self._next = None
        self.prepared = self.finished_folder = self.folder = None
        folder = resume or new_run_path(self.runs, self.experiment.name)
        self._thread = TrainingThread(
            self.experiment, folder, self._desk, paused=not run, resume=resume is not None
        )
        self._thread.finished.connect(self._thread_finished)
        self._set_state(State.LOADING)
        self.loaded.emit()
        self._thread.start()
        self._start_timers()

    def _start_timers(self) -> None:
        self._drawing.start()  # once; later it runs already
        self._drain_timer.start()
        self._history_timer.start()

    @Slot()
    def _look_into_history(self) -> None:
        if self.folder is not None:
            self._desk.read_history(self.folder)

    def _show_opened(self) -> None:
        run, self._to_open = self._to_open, None
        assert run is not None
        self.experiment = run.experiment
        self.prepared = None
        self.folder = run.folder
        self.finished_folder = run.folder if run.status == "finished" else None
        self._desk.begin(None)
        self._set_state(State.OPENED)
        self.loaded.emit()
        self.opened.emit(run)
        self._start_timers()
        self._look_into_history()

    def _wait(self) -> None:
        self.experiment, self._held = self._held, None
        self.prepared = self.finished_folder = self.folder = None
        self._set_state(State.WAITING)
        self.loaded.emit()

    @Slot()
    def _thread_finished(self) -> None:
        self.drain()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.wait()
            thread.deleteLater()
        self._drain_timer.stop()
        self._history_timer.stop()
        if self._next is not None:
            self._begin()
        elif self._to_open is not None:
            self._show_opened()
        elif self._held is not None:
            self._wait()
        elif self._closing:
            self._end()

    def _end(self) -> None:
        self._desk.close()
        self._drawing.wait()
        self.ended.emit()

    def _set_state(self, state: State) -> None:
        if state is not self.state:
            self.state = state
            self.state_changed.emit(state)
