"""Where the trainer leaves moments, the drawing thread pictures, and the window its wishes."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from lbc_gui.drawing import Snapshot, ViewRequest, draw
from lbc_gui.moment import LayerMoment, LayerState, copy_moment

if TYPE_CHECKING:
    from torch import Tensor

    from lbc.sparsify import Sparsifier
    from lbc.training.control import Control

SHORTEST_INTERVAL = 0.1
"""Seconds between two copies of a training run's open layer."""

LARGEST_SHARE = 0.03
"""Share of the training thread's time that copying may take."""


class Desk:
    """Two mailboxes that hold at most one thing each: a moment to draw, and a drawn snapshot.

    The trainer copies a moment only where the last has been taken, and keeps to ``LARGEST_SHARE``
    of its time; a new wish is served before its next step, and nothing is copied while nothing
    moves. A wish that only changes how things look is drawn again from the moment at hand.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._control: Control | None = None
        self._request: ViewRequest | None = None
        self._incoming: LayerMoment | None = None
        self._moment: LayerMoment | None = None
        self._redraw = False
        self._snapshot: Snapshot | None = None
        self._served: tuple[object, float] | None = None
        self._not_before = 0.0
        self._states_of: dict[str, tuple[Tensor, LayerState]] = {}
        self._closed = False

    # -- from the window ------------------------------------------------------------------------

    def begin(self, control: Control) -> None:
        """A new run: what was copied and drawn of the one before is void."""
        with self._changed:
            self._control = control
            self._incoming = self._moment = self._snapshot = None
            self._served, self._not_before, self._states_of = None, 0.0, {}

    def ask(self, request: ViewRequest) -> None:
        """Show this from now on."""
        with self._changed:
            if request == self._request:
                return
            if self._request is None or request.watch != self._request.watch:
                self._incoming = self._moment = None
            self._request = request
            self._snapshot = None
            self._redraw = True
            self._changed.notify_all()

    def take(self) -> Snapshot | None:
        """The newest snapshot, once."""
        with self._changed:
            snapshot, self._snapshot = self._snapshot, None
            self._changed.notify_all()
            return snapshot

    def close(self) -> None:
        """Nothing will be drawn any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    # -- from the trainer -----------------------------------------------------------------------

    def watch(self, sparsifier: Sparsifier, epoch: float) -> None:
        """Between steps: copy what is wanted where that is due."""
        with self._changed:
            request, waiting, control = self._request, self._incoming is not None, self._control
        if request is None or control is None or waiting:
            return
        wanted = request.watch
        if self._served == (wanted, epoch):
            return
        moved_only = self._served is not None and self._served[0] == wanted
        hurry = control.paused or control.stopped
        if moved_only and not hurry and time.monotonic() < self._not_before:
            return
        began = time.monotonic()
        moment = copy_moment(sparsifier, wanted, epoch, self._states(sparsifier))
        with self._changed:
            if self._request is not None and self._request.watch == wanted:
                self._incoming = moment
                self._served = (wanted, epoch)
                self._changed.notify_all()
        ended = time.monotonic()
        self._not_before = ended + max(SHORTEST_INTERVAL, (ended - began) / LARGEST_SHARE)

    def _states(self, sparsifier: Sparsifier) -> tuple[LayerState, ...]:
        # Counting a mask takes longer than copying it, and it changes only when bits are replaced.
        for name, layer in sparsifier.layers.items():
            if name not in self._states_of or self._states_of[name][0] is not layer.packed:
                state = LayerState(name, layer.live_count, layer.density)
                self._states_of[name] = (layer.packed, state)
        return tuple(state for _, state in self._states_of.values())

    # -- from the drawing thread ----------------------------------------------------------------

    def serve(self) -> None:
        """Draw until the desk is closed."""
        while (job := self._wait_for_job()) is not None:
            self._put(*job, draw(*job))

    def _put(self, moment: LayerMoment, request: ViewRequest, snapshot: Snapshot) -> None:
        with self._changed:
            if request == self._request and moment is self._moment:
                self._snapshot = snapshot

    def _wait_for_job(self) -> tuple[LayerMoment, ViewRequest] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._work())
            if self._closed:
                return None
            if self._incoming is not None:
                self._moment, self._incoming = self._incoming, None
            self._redraw = False
            assert self._moment is not None and self._request is not None
            return self._moment, self._request

    def _work(self) -> bool:
        if self._incoming is not None:
            return self._redraw or self._snapshot is None
        return self._redraw and self._moment is not None
