"""Commands to a running trainer, given from any thread."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from math import inf

from lbc.runs.events import Intervention, Steering

IDLE_SECONDS = 0.03
"""Seconds between calls of ``idle`` while the trainer is paused."""


class Control:
    """Run, pause, step and stop. The trainer calls ``wait_for_step`` before every step."""

    def __init__(self, paused: bool = False) -> None:
        self._changed = threading.Condition()
        self._paused = paused
        self._steps = 0
        self._stopped = False
        self._discarded = False
        self._interventions: deque[Intervention | Steering] = deque()

    @property
    def paused(self) -> bool:
        """True if paused, or will be once queued single steps have run."""
        return self._paused

    @property
    def stopped(self) -> bool:
        return self._stopped

    def run(self) -> None:
        """Train until the next command."""
        self._set(paused=False)

    def pause(self) -> None:
        """Pause before the next step and drop queued single steps."""
        self._set(paused=True)

    def step(self) -> None:
        """Queue one single step; the trainer pauses after the last queued one."""
        with self._changed:
            self._steps += 1
            self._paused = True
            self._changed.notify_all()

    def stop(self) -> None:
        """End the run before the next step, keeping its results."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def intervene(self, intervention: Intervention | Steering) -> None:
        """Queue an intervention; it is applied before the next step, or at once if paused."""
        with self._changed:
            self._interventions.append(intervention)
            self._changed.notify_all()

    def next_intervention(self) -> Intervention | Steering | None:
        """Remove and return the oldest queued intervention, or None."""
        return self._interventions.popleft() if self._interventions else None

    def discard(self) -> None:
        """Stop and release the run; ``linger`` returns."""
        with self._changed:
            self._stopped = self._discarded = True
            self._changed.notify_all()

    def linger(self, idle: Callable[[], None]) -> None:
        """Call ``idle`` every IDLE_SECONDS until the run is discarded."""
        while not self._discarded:
            idle()
            with self._changed:
                if not self._discarded:
                    self._changed.wait(IDLE_SECONDS)

    def wait_for_step(self, idle: Callable[[], None], patience: float = inf) -> bool | None:
        """Return True if the next step may be taken, False if the run is to end.

        Blocks while paused, calling ``idle`` every IDLE_SECONDS, and returns None if it is still
        paused after ``patience`` seconds.
        """
        end = time.monotonic() + patience
        while time.monotonic() <= end:
            with self._changed:
                if self._stopped:
                    return False
                if not self._paused:
                    return True
                if self._steps:
                    self._steps -= 1
                    return True
            idle()
            with self._changed:
                if self._paused and not self._steps and not self._stopped:
                    self._changed.wait(IDLE_SECONDS)
        return None

    def _set(self, paused: bool) -> None:
        with self._changed:
            self._paused = paused
            self._steps = 0
            self._changed.notify_all()
