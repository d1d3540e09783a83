"""Where the trainer leaves moments, the drawing thread pictures, and the window its wishes."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lbc.pictures.layer_copy import copy_moment, copy_sample
from lbc.pictures.layer_moment import LayerMoment, LayerState, Watch, past_moment, sample
from lbc.pictures.mask_comparison import ReferenceReader
from lbc.pictures.mask_snapshot import MaskRequest, MaskSnapshot, draw_mask
from lbc.pictures.score_snapshot import Look, Snapshot, Thumbnail, draw, draw_thumbnail
from lbc.runs.block_history import Life
from lbc.runs.history_reader import MomentInfo, Replay
from lbc.sparsity.arrays import Floats
from lbc_gui.run.history_follower import Follower, Request
from lbc_gui.run.pinned_weights import PinWatch

if TYPE_CHECKING:
    from lbc.sparsity.live_sets import LiveSets
    from lbc.sparsity.sparsifier import Sparsifier
    from lbc.training.control import Control

SHORTEST_INTERVAL = 0.1
"""Seconds between two copies of a training run's open layer."""

COPY_SHARE = 0.01
"""Share of the training thread's time that copying the open layer may take."""

DRAW_SHARE = 0.1
"""Share of all processors' time that drawing it again and again may take. One of them is left to
the window, see ``TrainingThread``; what is drawn there still takes the memory's time."""

SAMPLE_INTERVAL = 1.0
"""Seconds between two looks at all layers for their thumbnails."""

SAMPLE_SHARE = 0.002
"""Share of the training thread's time that these looks may take."""

THUMBNAIL_SHARE = 0.0025
"""Share of all processors' time that drawing the thumbnails may take."""


class Desk:
    """Two mailboxes that hold at most one thing each: a moment to draw, and a drawn snapshot.

    The trainer copies a moment only where the last has been taken, and no more often than
    ``COPY_SHARE`` and ``DRAW_SHARE`` allow; a new wish is served before its next step, and nothing
    is copied while nothing moves. A wish that only changes how things look is drawn again from the
    moment at hand.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._control: Control | None = None
        self._request: Request | None = None
        self._incoming: LayerMoment | None = None
        self._moment: LayerMoment | None = None
        self._redraw = False
        self._snapshot: Snapshot | MaskSnapshot | None = None
        self._served: tuple[Watch, float, LiveSets] | None = None
        self._not_before = 0.0
        self._states_of: dict[str, tuple[LiveSets, LayerState]] = {}
        self._samples: tuple[LayerMoment, ...] = ()
        self._in_view: frozenset[str] | None = None
        self._sampled: tuple[float, frozenset[str] | None] | None = None
        self._sample_not_before = 0.0
        self._thumbnails: dict[str, Thumbnail] = {}
        self._new_thumbnails: dict[str, Thumbnail] = {}
        self._pictured: tuple[int, Look] | None = None
        self._history: Path | None = None
        self._replay: Replay | None = None
        self._references = ReferenceReader(_read_weights)
        self._stale = False
        self._moments: tuple[MomentInfo, ...] | None = None
        self._follower = Follower()
        self._life: Life | None = None
        self._closed = False
        self.pins = PinWatch()

    # -- from the window ------------------------------------------------------------------------

    def begin(self, control: Control | None) -> None:
        """A new run: what was copied and drawn of the one before is void.

        Without ``control`` it is a run on disk that nobody trains.
        """
        self.pins.begin()
        with self._changed:
            self._control = control
            self._history = self._replay = self._moments = self._life = None
            self._stale = False
            self._incoming = self._moment = self._snapshot = None
            self._served, self._not_before, self._states_of = None, 0.0, {}
            self._samples, self._sampled, self._sample_not_before = (), None, 0.0
            self._thumbnails, self._new_thumbnails, self._pictured = {}, {}, None

    def ask(self, request: Request) -> None:
        """Show this from now on."""
        with self._changed:
            if request == self._request:
                return
            before = self._request
            live_again = before is not None and before.moment is not None and request.moment is None
            if before is None or request.watch != before.watch or live_again:
                # Not only the moment: the trainer would not copy again what it has served.
                self._incoming = self._moment = self._served = None
            self._request = request
            self._snapshot = None
            self._redraw = True
            self._changed.notify_all()

    def take(self) -> Snapshot | MaskSnapshot | None:
        """The newest snapshot, once."""
        with self._changed:
            snapshot, self._snapshot = self._snapshot, None
            if self._incoming is not None:
                self._changed.notify_all()  # there is room for its picture
            return snapshot

    def show_thumbnails_of(self, layers: frozenset[str]) -> None:
        """Draw the thumbnails of these layers alone: nobody sees the others."""
        self._in_view = layers

    def take_thumbnails(self) -> tuple[Thumbnail, ...]:
        """The thumbnails that are new, once."""
        with self._changed:
            new, self._new_thumbnails = self._new_thumbnails, {}
            return tuple(new.values())

    def read_history(self, folder: Path) -> None:
        """Look into a run folder for moments, new ones where it was looked into before."""
        with self._changed:
            self._history, self._stale = folder, True
            self._changed.notify_all()

    def take_moments(self) -> tuple[MomentInfo, ...] | None:
        """The moments of the run's history where they have changed, once."""
        with self._changed:
            moments, self._moments = self._moments, None
            return moments

    def take_life(self) -> Life | None:
        """The life of the block that is asked for, where it has grown, once."""
        with self._changed:
            life, self._life = self._life, None
            return life

    def close(self) -> None:
        """Nothing will be drawn any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    # -- from the trainer -----------------------------------------------------------------------

    def watch(self, sparsifier: Sparsifier, epoch: float) -> None:
        """Between steps: copy what is wanted where that is due."""
        self._copy_layer(sparsifier, epoch)
        self._copy_samples(sparsifier, epoch)
        self.pins.look(sparsifier, epoch)

    def _copy_samples(self, sparsifier: Sparsifier, epoch: float) -> None:
        in_view, began = self._in_view, time.monotonic()
        if self._request is None or self._request.moment is not None or self._samples:
            return
        if self._sampled == (epoch, in_view) or began < self._sample_not_before:
            return
        samples = tuple(
            copy_sample(layer, epoch)
            for name, layer in sparsifier.layers.items()
            if in_view is None or name in in_view
        )
        ended = time.monotonic()
        rest = max(SAMPLE_INTERVAL, (ended - began) / SAMPLE_SHARE)
        with self._changed:
            self._samples, self._sampled = samples, (epoch, in_view)
            self._sample_not_before = ended + rest
            self._changed.notify_all()

    def _copy_layer(self, sparsifier: Sparsifier, epoch: float) -> None:
        with self._changed:
            request, waiting, control = self._request, self._incoming is not None, self._control
        if request is None or request.moment is not None or control is None or waiting:
            return
        wanted, layer = request.watch, sparsifier.layers.get(request.layer)
        if layer is None:
            return
        before, at, packed = self._served or (None, None, None)
        # A live set that was replaced is news, though no step was taken.
        if before == wanted and at == epoch and packed is layer.live_sets:
            return
        moved_only = before == wanted
        hurry = control.paused or control.stopped
        if moved_only and not hurry and time.monotonic() < self._not_before:
            return
        began = time.monotonic()
        # Steps do not come when a copy is due: as much as this one is late the next comes sooner.
        due = max(self._not_before, began - SHORTEST_INTERVAL)
        moment = copy_moment(sparsifier, wanted, epoch, self._states(sparsifier))
        with self._changed:
            if self._request is not None and self._request.watch == wanted:
                self._incoming = moment
                self._served = (wanted, epoch, layer.live_sets)
                self._changed.notify_all()
        ended = time.monotonic()
        self._rest(max(due + SHORTEST_INTERVAL - ended, (ended - began) / COPY_SHARE))

    def _states(self, sparsifier: Sparsifier) -> tuple[LayerState, ...]:
        # Counting a mask takes longer than copying it, and it changes only when bits are replaced.
        for name, layer in sparsifier.layers.items():
            if name not in self._states_of or self._states_of[name][0] is not layer.live_sets:
                state = LayerState(name, layer.live_count, layer.density)
                self._states_of[name] = (layer.live_sets, state)
        return tuple(state for _, state in self._states_of.values())

    # -- from the drawing thread ----------------------------------------------------------------

    def serve(self) -> None:
        """Draw until the desk is closed."""
        while self._wait_for_work():
            if self._stale:
                self._look_into_history()
            elif (request := self._take_request()) is not None:
                self._draw(request)
            elif self._samples:
                self._draw_thumbnails()
            elif self._past_pictured_late():
                self._draw_past_thumbnails()
            else:
                self._follow()

    def _draw(self, request: Request) -> None:
        now, began = self._moment, time.thread_time()
        moment = now if request.moment is None else self._past(request.watch, request.moment)
        if moment is None:
            return
        snapshot: Snapshot | MaskSnapshot
        if isinstance(request, MaskRequest):
            reference = self._references.find(request, self._replay, moment)
            snapshot = draw_mask(moment, request, reference)
        else:
            snapshot = draw(moment, request)
        snapshot = replace(snapshot, gone=self._follower.gone(request))
        if request.moment is None:
            self._rest(_rest_after(time.thread_time() - began, DRAW_SHARE))
        with self._changed:
            if request == self._request and now is self._moment:
                self._snapshot = snapshot

    def _rest(self, seconds: float) -> None:
        """Copy the open layer no sooner than in so many seconds."""
        with self._changed:
            self._not_before = max(self._not_before, time.monotonic() + seconds)

    def _wait_for_work(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._busy())
            return not self._closed

    def _busy(self) -> bool:
        waiting = self._stale or self._work() or bool(self._samples)
        behind = self._follower.behind(self._replay, self._request)
        return waiting or behind or self._past_pictured_late()

    def _follow(self) -> None:
        """Take in one moment more of the open layer's removals, or of the pinned block's life."""
        with self._changed:
            replay, request = self._replay, self._request
        if replay is None or request is None:
            return
        news = self._follower.step(replay, request)
        with self._changed:
            if replay is not self._replay or request != self._request:
                return
            if news is Follower.GONE:
                self._redraw = True  # the picture tells of it
            elif isinstance(news, Life):
                self._life = news

    def _past_pictured_late(self) -> bool:
        """Whether the thumbnails are of another moment than the one in the past on screen."""
        request = self._request
        if request is None or request.moment is None or self._replay is None:
            return False
        return self._pictured != (request.moment, request.look)

    def _take_request(self) -> Request | None:
        with self._changed:
            if not self._work():
                return None
            if self._incoming is not None:
                self._moment, self._incoming = self._incoming, None
            self._redraw = False
            return self._request

    def _work(self) -> bool:
        if self._request is not None and self._request.moment is not None:
            return self._redraw and self._replay is not None
        if self._incoming is not None:
            return self._redraw or self._snapshot is None
        return self._redraw and self._moment is not None

    def _look_into_history(self) -> None:
        with self._changed:
            folder, replay, self._stale = self._history, self._replay, False
        assert folder is not None
        try:
            if replay is None:
                replay, grown = Replay(folder), True
            else:
                grown = replay.refresh()
        except (OSError, ValueError):
            return  # not written yet, or gone: there is no moment to travel to
        with self._changed:
            if self._history == folder:
                self._replay = replay
                if grown:
                    self._moments = replay.moments

    def _past(self, watch: Watch, at: int) -> LayerMoment | None:
        replay = self._replay
        if replay is None or at >= len(replay.moments):
            return None
        return past_moment(replay, watch, at, _read_weights)

    def _draw_thumbnails(self) -> None:
        with self._changed:
            samples, self._samples = self._samples, ()
            before, request = self._thumbnails, self._request
        began = time.thread_time()
        look = request.look if request is not None else Look()
        self._pictured = None
        drawn = {at.name: draw_thumbnail(at, look).since(before.get(at.name)) for at in samples}
        rest = _rest_after(time.thread_time() - began, THUMBNAIL_SHARE)
        with self._changed:
            self._sample_not_before = max(self._sample_not_before, time.monotonic() + rest)
            if before is self._thumbnails:
                self._keep_thumbnails(drawn)

    def _draw_past_thumbnails(self) -> None:
        replay, request = self._replay, self._request
        if replay is None or request is None or request.moment is None:
            return
        drawn: dict[str, Thumbnail] = {}
        for info in replay.layers:
            moment = self._past(Watch(info.name), request.moment)
            if self._request != request:
                return  # the user has gone on
            if moment is not None:
                before = self._thumbnails.get(info.name)
                drawn[info.name] = draw_thumbnail(sample(moment), request.look).since(before)
        with self._changed:
            if replay is self._replay:
                self._keep_thumbnails(drawn)
                self._pictured = (request.moment, request.look)

    def _keep_thumbnails(self, drawn: dict[str, Thumbnail]) -> None:
        self._thumbnails = self._thumbnails | drawn
        self._new_thumbnails = self._new_thumbnails | drawn


def _read_weights(run: Path, layer: str, epoch: float) -> Floats | None:
    from lbc.runs.weights import read_weights  # with torch, which takes seconds to load

    return read_weights(run, layer, epoch)


def _rest_after(spent: float, share: float) -> float:
    """For how long to draw nothing, so that drawing takes this share of all processors' time."""
    return spent / (share * (os.cpu_count() or 1))
