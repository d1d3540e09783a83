"""The progress of the run and the time left."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtWidgets import QProgressBar

from lbc.runs.events import Prepared, RemovalProgress, Resumed, StepDone
from lbc_gui.run.session import State

_RECENT = 200
"""Steps over which the speed is averaged, so that the estimate follows the machine."""

_TEXTS = {
    State.LOADING: "loading torch and the data…",
    State.WAITING: "waiting for Run",
    State.READY: "ready",
    State.STOPPING: "stopping…",
    State.FINISHED: "finished",
    State.STOPPED: "stopped",
    State.FAILED: "failed",
    State.OPENED: "a run on disk",
}


class RunProgress(QProgressBar):
    """A bar over all steps, with epoch and time left as text."""

    def __init__(self) -> None:
        super().__init__()
        self.setMinimumWidth(260)
        self.setTextVisible(True)
        self.setToolTip("Progress of the run, and the time left at the present speed")
        self._prepared: Prepared | None = None
        self._recent: list[tuple[int, float]] = []
        self._last: StepDone | None = None
        self._removed = 1.0
        self._state = State.LOADING
        self.show_state(State.LOADING)

    def show_prepared(self, prepared: Prepared) -> None:
        self._prepared, self._last, self._removed = prepared, None, 1.0
        self._recent.clear()
        self.setValue(0)
        self.show_state(self._state)

    def show_state(self, state: State) -> None:
        self._state = state
        if state in (State.LOADING, State.WAITING, State.OPENED):
            self._prepared = self._last = None
        if state is State.LOADING:
            self.setRange(0, 0)
        elif self._prepared is not None:
            self.setRange(0, self._prepared.steps)
        else:
            self.setRange(0, 1)
            self.setValue(0)  # without a value the bar would not show its text
        self._update_text()

    def add(self, events: Sequence[object]) -> None:
        for event in events:
            if isinstance(event, Resumed) and event.steps:
                self._show_steps(event.steps[-1:])
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
        self.setValue(self._last.step)
        self._update_text()

    def _update_text(self) -> None:
        parts = []
        if self._prepared is not None and self._last is not None:
            parts.append(f"epoch {self._last.epoch:.1f} of {self._prepared.epochs}")
        if self._removed < 1 and self._state in (State.RUNNING, State.PAUSED):
            parts.append(f"removing {self._removed:.0%}")
        elif self._state in (State.RUNNING, State.PAUSED):
            left = self._seconds_left()
            if left is not None:
                parts.append(f"{int(left) // 60}:{int(left) % 60:02d} left")
            if self._state is State.PAUSED:
                parts.append("paused")
        else:
            parts.append(_TEXTS[self._state])
        self.setFormat(" · ".join(parts or ["starting…"]))

    def _seconds_left(self) -> float | None:
        if self._prepared is None or len(self._recent) < 2:
            return None
        (first, began), (last, ended) = self._recent[0], self._recent[-1]
        return (ended - began) / (last - first) * (self._prepared.steps - last)
