"""The run the window shows: its state, its thread, and what arrives from it."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from pathlib import Path

from PySide6.QtCore import QObject, QTimer, Signal, Slot

from lbc.config import Experiment
from lbc.runs.naming import new_run_path
from lbc.training.events import Event, Finished, Prepared, Resumed, Started, StorageProblem
from lbc_gui.snapshot import ViewRequest
from lbc_gui.training_thread import Failed, TrainingThread

DRAIN_MILLISECONDS = 40
CLOSE_SECONDS = 20.0


class State(Enum):
    """Where the run is. READY: prepared, no step taken, nothing on disk.

    WAITING: nothing is prepared yet, because that would run code which nobody has asked for.
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

    @property
    def over(self) -> bool:
        return self in (State.FINISHED, State.STOPPED, State.FAILED)


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
    """Snapshot."""
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
        self._request: ViewRequest | None = None
        self._closing = False
        self._drain_timer = QTimer(self)
        self._drain_timer.setInterval(DRAIN_MILLISECONDS)
        self._drain_timer.timeout.connect(self.drain)

    def load(self, experiment: Experiment, run: bool = False, resume: Path | None = None) -> None:
        """Discard the present run and prepare ``experiment``; with ``run``, train at once.

        ``resume`` is the folder of a run of this experiment to go on with.
        """
        self._next = (experiment, run, resume)
        self._held = None
        if self._thread is None:
            self._begin()
        else:
            self._thread.control.discard()

    def hold(self, experiment: Experiment) -> None:
        """Discard the present run and prepare nothing until ``load`` asks for it."""
        self._next, self._held = None, experiment
        if self._thread is None:
            self._wait()
        else:
            self._thread.control.discard()

    def run(self) -> None:
        """Train on; a run that is over begins again from its seed."""
        if self._thread is None or self.experiment is None:
            return
        if self.state.over:
            self.load(self.experiment, run=True)
        else:
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

    def look(self, request: ViewRequest) -> None:
        """Ask for snapshots of ``request`` from now on."""
        self._request = request
        if self._thread is not None:
            self._thread.desk.ask(request)

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
        self._next = self._held = None
        if self._thread is None:
            self.ended.emit()
        else:
            self._thread.control.discard()

    def wait_until_closed(self) -> bool:
        """The backstop of ``close``: block until the thread has gone; False after 20 s."""
        return self._thread is None or self._thread.wait(int(CLOSE_SECONDS * 1000))

    @Slot()
    def drain(self) -> None:
        """Hand on what the thread has left since the last time."""
        thread = self._thread
        if thread is None:
            return
        events: list[Event | Failed] = []
        while thread.events:
            events.append(thread.events.popleft())
        if events:
            self._follow(events)
            self.events_arrived.emit(events)
        snapshot = thread.desk.take()
        if snapshot is not None:
            self.snapshot_arrived.emit(snapshot)

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

    def _begin(self) -> None:
        assert self._next is not None
        self.experiment, run, resume = self._next
        self._next = None
        self.prepared = self.folder = self.finished_folder = None
        folder = resume or new_run_path(self.runs, self.experiment.name)
        self._thread = TrainingThread(
            self.experiment, folder, paused=not run, resume=resume is not None
        )
        self._thread.finished.connect(self._thread_finished)
        self._set_state(State.LOADING)
        self.loaded.emit()
        if self._request is not None:
            self._thread.desk.ask(self._request)
        self._thread.start()
        self._drain_timer.start()

    def _wait(self) -> None:
        self.experiment, self._held = self._held, None
        self.prepared = self.folder = self.finished_folder = None
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
        if self._next is not None:
            self._begin()
        elif self._held is not None:
            self._wait()
        elif self._closing:
            self.ended.emit()

    def _set_state(self, state: State) -> None:
        if state is not self.state:
            self.state = state
            self.state_changed.emit(state)
