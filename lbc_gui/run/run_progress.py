"""The progress of the run and the time left."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtGui import QResizeEvent

from lbc.following.trainer_file import TrainerInfo
from lbc.runs.events import Intervened, Prepared, RemovalProgress, Resumed, StepDone
from lbc.runs.opened_run import OpenedRun
from lbc_gui.run.session import State
from lbc_gui.widgets.progress_bar import ProgressBar
from lbc_gui.widgets.text import plain

_RECENT = 200
"""Steps over which the speed is averaged, so that the estimate follows the machine."""

MOST_STEPS = (1 << 31) - 1
"""What a progress bar can count."""

_TEXTS = {
    State.LOADING: "loading torch and the data…",
    State.WAITING: "waiting for Run",
    State.READY: "ready",
    State.STOPPING: "stopping…",
    State.FINISHED: "finished",
    State.STOPPED: "stopped",
    State.FAILED: "failed",
}


class RunProgress(ProgressBar):
    """A bar over all steps, with epoch and time left as text."""

    def __init__(self) -> None:
        super().__init__()
        self.setMinimumWidth(260)
        self.setTextVisible(True)
        self._epochs = 0
        """Of the run; 0 as long as they are not known."""
        self._opened = self._trainer = ""
        self._recent: list[tuple[int, float]] = []
        self._last: StepDone | None = None
        self._removed = 1.0
        self._state = State.LOADING
        self.show_state(State.LOADING)

    def show_prepared(self, prepared: Prepared) -> None:
        self._begin(prepared.steps, prepared.epochs)

    def show_opened(self, run: OpenedRun) -> None:
        """Show how far a run on disk came."""
        epochs, last = run.experiment.training.epochs, run.steps[-1:]
        self.show_trainer(None, run.status)
        self._begin(1, epochs)
        self._show_steps(last)

    def show_trainer(self, trainer: TrainerInfo | None, status: str) -> None:
        """Show who trains a run on disk, or else its status."""
        self._opened = status if status == "deleted" else f"{status}, on disk"
        self._trainer = "" if trainer is None else f"trained by {trainer.label}"
        self._update_text()

    def show_state(self, state: State) -> None:
        self._state = state
        if state in (State.LOADING, State.WAITING):
            self._epochs, self._last, self._trainer = 0, None, ""
        if state is State.LOADING:
            self.show_done(0, 0)
        elif not self._epochs:
            self.show_done(0, 1)  # without a value the bar would not show its text
        self._update_text()

    def _begin(self, steps: int, epochs: int) -> None:
        self._epochs, self._last, self._removed = epochs, None, 1.0
        self._recent.clear()
        self.show_done(0, steps)
        self._update_text()

    def add(self, events: Sequence[object]) -> None:
        for event in events:
            if isinstance(event, Resumed) and event.steps:
                self._recent.clear()
                self._show_steps(event.steps[-1:])
            elif isinstance(event, Intervened) and event.epochs:
                self._epochs = event.epochs
                self._show_last()
            elif isinstance(event, RemovalProgress):
                self._removed = event.share
                self._update_text()
        self._show_steps([event for event in events if isinstance(event, StepDone)])

    def _show_steps(self, steps: Sequence[StepDone]) -> None:
        if not steps:
            return
        self._recent.extend((step.step, step.seconds) for step in steps)
        del self._recent[:-_RECENT]
        self._last = steps[-1]
        self._show_last()

    def _show_last(self) -> None:
        if self._last is not None:
            # Of a run on disk the number of steps is known once there is one.
            total = self._last.step / max(self._last.epoch, 1e-9) * self._epochs
            self.show_done(min(self._last.step, MOST_STEPS), min(max(1, round(total)), MOST_STEPS))
        self._update_text()

    def _update_text(self) -> None:
        parts = []
        if self._epochs and self._last is not None:
            parts.append(f"epoch {self._last.epoch:.1f} of {self._epochs}")
        if self._removed < 1 and self._state in (State.RUNNING, State.PAUSED):
            parts.append(f"removing {self._removed:.0%}")
        elif self._state in (State.RUNNING, State.PAUSED):
            left = self._seconds_left()
            if left is not None:
                parts.append(f"{int(left) // 60}:{int(left) % 60:02d} left")
            if self._state is State.PAUSED:
                parts.append("paused")
        else:
            parts.append(_TEXTS.get(self._state, self._opened))
        parts = parts or ["starting…"]
        whole = " · ".join([*parts, self._trainer])
        fits = self.fontMetrics().horizontalAdvance(whole) < self.width()
        self.setFormat(whole if self._trainer and fits else " · ".join(parts))
        tip = "Progress of the run, and the time left at the present speed"
        self.setToolTip(plain(f"{tip}; {self._trainer}" if self._trainer else tip))

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._update_text()

    def _seconds_left(self) -> float | None:
        if len(self._recent) < 2:
            return None
        (first, began), (last, ended) = self._recent[0], self._recent[-1]
        return (ended - began) / (last - first) * (self.maximum() - last)
