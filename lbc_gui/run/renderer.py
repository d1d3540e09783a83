"""Draws what the window shows of a run, in a thread of its own."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from PySide6.QtCore import QObject, Signal, Slot

from lbc.pictures.layer_moment import Watch, past_moment, sample
from lbc.pictures.live_picture import LivePicture
from lbc.pictures.mask_comparison import ReferenceReader
from lbc.pictures.mask_snapshot import MaskRequest, MaskSnapshot, draw_mask
from lbc.pictures.score_snapshot import (
    Look,
    Snapshot,
    Thumbnail,
    ViewRequest,
    draw,
    draw_thumbnail,
)
from lbc.runs.block_history import Life
from lbc.runs.epoch_flips import EpochFlips, flipped_share, latest_epoch
from lbc.runs.history_reader import Replay
from lbc.runs.history_walks import Walk
from lbc.runs.kept_checkpoints import ForkPoint, kept_moments
from lbc.runs.layer_moment import LayerMoment
from lbc.runs.parent_run import find_parent
from lbc.runs.run_state import Parent, read_state
from lbc.sparsity.arrays import Floats
from lbc_gui.run.history_follower import HistoryFollower
from lbc_gui.run.snapshot_broker import Demand, SnapshotBroker
from lbc_gui.worker import Failed, Worker, describe

if TYPE_CHECKING:
    from lbc.training.control import Control

T = TypeVar("T")

DRAW_SHARE = 0.1
"""Share of all processors' time that drawing the open layer repeatedly may take. One of them is
left to the window, see ``TrainingThread``; drawing takes memory bandwidth besides."""

FOLLOWED_SHARE = 0.01
"""The same for a run whose training, in another process, may use all processors."""

THUMBNAIL_SHARE = 0.0025
"""Share of all processors' time that drawing the thumbnails may take."""

HISTORY_SECONDS = 1.0
"""How often a run's history is checked for new moments."""

PAUSE_SECONDS = 0.1
"""Pause after a failure, so that one which recurs does not take a whole processor."""


class HistoryError(Exception):
    """The history of a run cannot be read; the message is a sentence."""


class Renderer:
    """Draws for one run's broker. Each job is taken once: one that fails is not tried again.

    A change of colours is drawn from the last copy, without the trainer.
    """

    def __init__(self, broker: SnapshotBroker) -> None:
        self.broker = broker
        self._copy: tuple[int, LayerMoment | LivePicture | None] | None = None
        self._recorded: tuple[object, Snapshot | MaskSnapshot] | None = None
        self._drawn: Demand | None = None
        self._history: Path | None = None
        self._history_due = 0.0
        self._told_deleted = False
        self._replay: Replay | None = None
        self._fork_points: tuple[ForkPoint, ...] = ()
        self._references = ReferenceReader(_read_weights)
        self._follower = HistoryFollower()
        self._flips_of: object = None
        self._flips: dict[str, float] = {}
        self._uncounted: list[str] = []
        self._samples: dict[str, LayerMoment | Thumbnail] = {}
        self._thumbnails: tuple[int | None, Look] | None = None
        """The moment and the look of the thumbnails that were drawn last."""

    @property
    def deleted(self) -> bool:
        """Whether the run, which another process trains or has trained, was deleted."""
        folder = self._history
        return folder is not None and self.broker.control is None and not folder.is_dir()

    def excuses(self, error: Exception) -> bool:
        """Whether reading failed only because another process has deleted or resumed the run."""
        replay = self._replay
        if self.deleted or replay is None or not isinstance(error, HistoryError):
            return self.deleted
        restarts = replay.restarts
        with suppress(OSError, ValueError):
            replay.refresh()
        if replay.restarts == restarts:
            return False
        self.broker.drawn.moments.put(replay.moments)
        return True

    def next_job(self) -> Callable[[], None] | None:
        """The most urgent thing to do; None if there is nothing. Call with the lock held."""
        broker, demand = self.broker, self.broker.demand
        folder = broker.history.take()
        if folder is not None:
            self._history, self._history_due = folder, 0.0
        if self._history is not None and time.monotonic() >= self._history_due:
            return partial(self._read_history, self._history)
        if demand is not None and self._must_draw(demand):
            self._drawn = demand
            return partial(self._draw, demand)
        at = None if demand is None else demand.request.moment
        look = Look() if demand is None else demand.request.look
        samples = (broker.samples.take() if at is None else None) or {}
        self._samples |= samples
        if at is None and self._thumbnails != (at, look):
            samples = self._samples  # while training is paused, there will be no others
        if at is None and samples:
            self._thumbnails = (at, look)
            return partial(self._draw_thumbnails, tuple(samples.values()), look)
        if self._replay is None or demand is None:
            return None
        if at is not None and self._thumbnails != (at, look):
            self._thumbnails = (at, look)
            return partial(self._draw_past_thumbnails, self._replay, at, look)
        walk = self._follower.next_walk(self._replay, demand.request)
        if walk is not None:
            return partial(self._follow, walk)
        return self._next_flips(self._replay, at)

    def _must_draw(self, demand: Demand) -> bool:
        """Whether a new picture is due; takes the newest copy for it."""
        new = demand is not self._drawn
        if not demand.live:
            return new and self._replay is not None
        if self.broker.copy.full and (new or not self.broker.drawn.snapshot.full):
            self._copy, new = self.broker.copy.take(), True
        return new and self._copy is not None and self._copy[0] == demand.number

    def _draw(self, demand: Demand) -> None:
        request, began = demand.request, time.thread_time()
        copied = None if self._copy is None or request.moment is not None else self._copy[1]
        if isinstance(copied, LayerMoment):
            snapshot = self._drawn_of(copied, request)
        else:
            recorded = self._draw_recorded(request)
            if recorded is None:
                return
            snapshot = recorded if copied is None else copied.over(recorded)
        snapshot = replace(snapshot, gone=self._follower.gone(request))
        if demand.live:
            share = FOLLOWED_SHARE if self.broker.frugal else DRAW_SHARE
            self.broker.copy_pace.rest(_rest_after(time.thread_time() - began, share))
        self.broker.publish(demand, snapshot)

    def _draw_recorded(self, request: ViewRequest) -> Snapshot | MaskSnapshot | None:
        """Draw a recorded moment, the last one if the request is for the present."""
        replay = self._replay
        at = request.moment
        if at is None and replay is not None:
            at = len(replay.moments) - 1
        if at is None or at < 0:
            return None
        of = request, at, replay and replay.restarts
        if self._recorded is not None and self._recorded[0] == of:
            return self._recorded[1]
        moment = self._past(request.watch, at)
        if moment is None:
            return None
        snapshot = self._drawn_of(moment, request)
        self._recorded = (of, snapshot) if request.moment is None else None
        return snapshot

    def _drawn_of(self, moment: LayerMoment, request: ViewRequest) -> Snapshot | MaskSnapshot:
        if isinstance(request, MaskRequest):
            reference = self._references.find(request, self._replay, moment)
            return draw_mask(moment, request, reference)
        return draw(moment, request)

    def _read_history(self, folder: Path) -> None:
        self._history_due = time.monotonic() + HISTORY_SECONDS
        if not folder.is_dir() and not self._told_deleted:
            self._told_deleted = True
            self.broker.drawn.deleted.put(folder)
        replay = self._replay
        if replay is not None:
            grown = _read(replay.path, replay.refresh)
            if self._follower.parent is not None:
                with suppress(OSError, ValueError):  # it may be deleted meanwhile
                    self._follower.parent[1].refresh()
        else:
            try:
                replay, grown = _read(folder, lambda: Replay(folder)), True
            except HistoryError:
                if self.broker.control is None:
                    raise
                return  # the trainer has not written it yet
            self._follower.parent = _read_parent(folder)
        self._replay = replay
        if replay.damage:
            self.broker.report(Failed(replay.damage))
        if grown:
            self.broker.drawn.moments.put(replay.moments)
            if self._copy is not None and not isinstance(self._copy[1], LayerMoment):
                self._drawn = None  # the last recorded moment is below what is on screen
        points = kept_moments(folder)
        if points != self._fork_points:
            self._fork_points = points
            self.broker.drawn.fork_points.put(points)

    def _past(self, watch: Watch, at: int) -> LayerMoment | None:
        replay = self._replay
        if replay is None or at >= len(replay.moments):
            return None
        return _read(replay.path, lambda: past_moment(replay, watch, at, _read_weights))

    def _follow(self, walk: Walk) -> None:
        """Take in one moment more of the open layer's removals, or of the pinned block's life."""
        news = _read(walk.replay.path, lambda: self._follower.step(walk))
        if isinstance(news, Life):
            self.broker.drawn.life.put(news)
        elif news is not None:
            self._drawn = None  # the picture shows them

    def _draw_thumbnails(self, samples: tuple[LayerMoment | Thumbnail, ...], look: Look) -> None:
        began = time.thread_time()
        drawn = {
            one.name: one if isinstance(one, Thumbnail) else draw_thumbnail(one, look)
            for one in samples
        }
        spent = time.thread_time() - began
        self.broker.sample_pace.rest(_rest_after(spent, THUMBNAIL_SHARE))
        self.broker.put_thumbnails(drawn)

    def _draw_past_thumbnails(self, replay: Replay, at: int, look: Look) -> None:
        drawn: dict[str, Thumbnail] = {}
        problem: HistoryError | None = None
        for info in replay.layers:
            demand = self.broker.demand
            if demand is None or (demand.request.moment, demand.request.look) != (at, look):
                self._thumbnails = None  # the user has gone elsewhere
                return
            try:
                moment = self._past(Watch(info.name), at)
            except HistoryError as error:
                problem = error
                continue
            if moment is not None:
                drawn[info.name] = draw_thumbnail(sample(moment), look)
        self.broker.put_thumbnails(drawn)
        if problem is not None:
            raise problem

    def _next_flips(self, replay: Replay, at: int | None) -> Callable[[], None] | None:
        """Count the flips of one layer more, of the last whole epoch up to the moment on screen."""
        span = latest_epoch(replay.moments, at)
        if self._flips_of != (replay.restarts, span):
            self._flips_of, self._flips = (replay.restarts, span), {}
            self._uncounted = [info.name for info in replay.layers] if span else []
            if span is None:
                return partial(self.broker.drawn.flips.put, EpochFlips())
        if span is None or not self._uncounted:
            return None
        return partial(self._count_flips, replay, self._uncounted.pop(), *span)

    def _count_flips(self, replay: Replay, name: str, before: int, after: int) -> None:
        """Count those of one layer; the window shows all of them at once."""
        try:
            self._flips[name] = _read(
                replay.path, lambda: flipped_share(replay, name, before, after)
            )
        finally:
            if not self._uncounted:
                first, last = (replay.moments[moment].epoch for moment in (before, after))
                self.broker.drawn.flips.put(EpochFlips(first, last, self._flips))


class RenderThread(Worker):
    """Draws for one run after the other, until it is cancelled."""

    drained = Signal()
    """It is time to collect what was drawn."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._changed = threading.Condition()
        self.broker = SnapshotBroker(self._changed)
        self._renderer = Renderer(self.broker)

    def switch(self, control: Control | None) -> SnapshotBroker:
        """Draw for another run; its broker. ``control`` is None if it is not being trained."""
        with self._changed:
            self.broker = self.broker.successor(control)
            self._changed.notify_all()
        if not self.isRunning():
            self.launch()
        return self.broker

    def close(self) -> None:
        self._timer.stop()
        with self._changed:
            self.cancelled.set()
            self._changed.notify_all()

    def work(self) -> None:
        while not self.cancelled.is_set():
            try:
                job = self._wait_for_job()
                if job is not None:
                    job()
            except Exception as error:
                if not self._renderer.excuses(error):
                    self._renderer.broker.report(self.failure(error))
                self.cancelled.wait(PAUSE_SECONDS)

    def failure(self, error: Exception) -> Failed:
        return describe("The view could not be drawn", error, HistoryError)

    @Slot()
    def drain(self) -> None:
        super().drain()
        self.drained.emit()

    def _wait_for_job(self) -> Callable[[], None] | None:
        """The next job; None once cancelled."""
        with self._changed:
            while not self.cancelled.is_set():
                if self._renderer.broker is not self.broker:
                    self._renderer = Renderer(self.broker)
                job = self._renderer.next_job()
                if job is not None:
                    return job
                self._changed.wait(HISTORY_SECONDS)
        return None


def _read(path: Path, read: Callable[[], T]) -> T:
    """Let ``read`` read a history. Raises HistoryError."""
    try:
        return read()
    except (OSError, ValueError) as error:
        what = f"The run's history {path} cannot be read"
        raise HistoryError(describe(what, error, ValueError).message) from error


def _read_parent(folder: Path) -> tuple[Parent, Replay] | None:
    """What the run in ``folder`` was forked from, if that is still there."""
    try:
        parent = read_state(folder).parent
        place = None if parent is None else find_parent(folder, parent)
        return None if parent is None or place is None else (parent, Replay(place))
    except (OSError, ValueError):
        return None


def _read_weights(run: Path, layer: str, epoch: float) -> Floats | None:
    from lbc.runs.weights import read_weights  # with torch, which takes seconds to load

    return read_weights(run, layer, epoch)


def _rest_after(spent: float, share: float) -> float:
    """Seconds to draw nothing, so that drawing takes this share of all processors' time."""
    return spent / (share * (os.cpu_count() or 1))
