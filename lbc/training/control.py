"""Commands to a running trainer, given from any thread."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from lbc.runs.events import Intervention

IDLE_SECONDS = 0.03
"""How often a paused trainer looks up, to serve whoever watches it."""


class Control:
    """Run, pause, step and stop. The trainer asks ``proceed`` before every step."""

    def __init__(self, paused: bool = False) -> None:
        self._changed = threading.Condition()
        self._paused = paused
        self._steps = 0
        self._stopped = False
        self._discarded = False
        self._wishes: deque[Intervention] = deque()

    @property
    def paused(self) -> bool:
        """Whether the trainer stands, or will after the single steps it still owes."""
        return self._paused

    @property
    def stopped(self) -> bool:
        return self._stopped

    def run(self) -> None:
        """Train until told otherwise."""
        self._set(paused=False)

    def pause(self) -> None:
        """Stand before the next step."""
        self._set(paused=True)

    def step(self) -> None:
        """Take one step, then stand; called again meanwhile, one more."""
        with self._changed:
            self._steps += 1
            self._paused = True
            self._changed.notify_all()

    def stop(self) -> None:
        """End the run before the next step; what was learned is kept."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def intervene(self, wish: Intervention) -> None:
        """Carry this out before the next step, and while standing at once."""
        with self._changed:
            self._wishes.append(wish)
            self._changed.notify_all()

    def take_wish(self) -> Intervention | None:
        """The oldest intervention that was asked for, once."""
        return self._wishes.popleft() if self._wishes else None

    def discard(self) -> None:
        """Stop, and let go of the run: nobody will look at it any more."""
        with self._changed:
            self._stopped = self._discarded = True
            self._changed.notify_all()

    def linger(self, idle: Callable[[], None]) -> None:
        """Call ``idle`` now and then until the run is discarded."""
        while not self._discarded:
            idle()
            with self._changed:
                if not self._discarded:
                    self._changed.wait(IDLE_SECONDS)

    def proceed(self, idle: Callable[[], None]) -> bool:
        """Block while paused, calling ``idle`` now and then; False once the run must end."""
        while True:
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

    def _set(self, paused: bool) -> None:
        with self._changed:
            self._paused = paused
            self._steps = 0
            self._changed.notify_all()
