"""Reads the curves of the runs that are compared, and what is added while they train."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from PySide6.QtCore import QObject, Slot

from lbc.library.fork_tree import Families
from lbc.library.run_curves import METRICS, Axis, CurveKey, Metric, RunCurves
from lbc.library.run_summary import RunSummary
from lbc.pictures.curve import Curve
from lbc.pictures.curve_means import Band, Spread, fold, smooth
from lbc_gui.worker import Failed, Job, Worker, describe

POLL_SECONDS = 1.0
"""How often the files of the curves on screen are checked for new rows."""

POST_SECONDS = 0.5
"""How often curves are passed to the window while many are read."""

EXACT = 1e-12
"""Relative error of an epoch that was computed in another way."""


@dataclass(frozen=True)
class ForkedAt:
    """Up to this epoch a fork's line is its parent's, which may be ``drawn`` too."""

    epoch: float
    drawn: bool


@dataclass(frozen=True)
class CurvesRequest:
    """What is drawn: one line for each group of runs. ``span``: points to smooth over, 0 none."""

    groups: tuple[tuple[Path, ...], ...] = ()
    metric: Metric = METRICS["accuracy"]
    axis: Axis = "epoch"
    span: int = 0
    spread: Spread = "range"
    logarithmic: bool = False
    forks: Mapping[Path, ForkedAt] = field(default_factory=dict, hash=False)


def find_forks(
    runs: Sequence[RunSummary], groups: Sequence[tuple[Path, ...]]
) -> dict[Path, ForkedAt]:
    """The forks among the runs that have a line of their own."""
    alone = {group[0] for group in groups if len(group) == 1}
    single = [run for run in runs if run.folder in alone]
    families = Families(single)
    return {
        run.folder: ForkedAt(run.parent_epoch, families.parent(run) is not None)
        for run in single
        if run.parent_folder
    }


@dataclass(frozen=True, eq=False)
class Line:
    """One line: the values, smoothed if asked for, and the band around the mean of several runs.

    The first ``shared`` points of a fork are its parent's, and drawn with it if that is ``drawn``.
    """

    raw: Curve
    smoothed: Curve | None = None
    band: Band | None = None
    shared: int = 0
    drawn: bool = False

    @property
    def main(self) -> Curve:
        return self.smoothed or self.raw

    @cached_property
    def own(self) -> Curve:
        """``main`` from the last point that is shared."""
        return self._own(self.main)

    @cached_property
    def own_raw(self) -> Curve:
        return self._own(self.raw)

    @cached_property
    def parents(self) -> Curve | None:
        """The shared part of ``main``, if it is to be drawn."""
        return self.main.part(0, self.shared) if self.shared and not self.drawn else None

    def _own(self, curve: Curve) -> Curve:
        return curve.part(max(self.shared - 1, 0), len(curve)) if self.shared else curve


@dataclass(frozen=True, eq=False)
class LinesRead:
    """Lines by their group, and a sentence for each run that could not be read.

    ``complete`` once every line of the request has been read.
    """

    request: CurvesRequest
    lines: Mapping[tuple[Path, ...], Line | None]
    problems: Mapping[Path, str]
    complete: bool


class CurvesWorker(Worker):
    """Reads for the last request, and again whatever has changed since."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.request = CurvesRequest()
        self.wake = threading.Event()
        self._curves = RunCurves()
        self._failed: dict[Path, str] = {}

    def work(self) -> None:
        done = CurvesRequest()
        while True:
            self.wake.wait(POLL_SECONDS if done.groups else None)
            self.wake.clear()
            if self.cancelled.is_set():
                return
            request = self.request
            if self._read(request, anew=request != done):
                done = request

    def failure(self, error: Exception) -> Failed:
        return describe("The curves could not be read", error)

    def _read(self, request: CurvesRequest, anew: bool) -> bool:
        """Read what has changed; False if another request came in between."""
        lines: dict[tuple[Path, ...], Line | None] = {}
        posted = time.monotonic()
        if anew:
            self._failed = {}
        keys = {
            run: CurveKey(run, request.metric, request.axis)
            for group in request.groups
            for run in group
        }
        for group in request.groups:
            if self.wake.is_set():
                return False
            if anew or any(self._curves.changed(keys[run]) for run in group):
                lines[group] = self._line(request, [keys[run] for run in group])
            if time.monotonic() - posted > POST_SECONDS:
                self.post(LinesRead(request, lines, dict(self._failed), complete=False))
                lines, posted = {}, time.monotonic()
        self._curves.forget(keys.values())
        if lines or anew:
            self.post(LinesRead(request, lines, dict(self._failed), complete=True))
        return True

    def _line(self, request: CurvesRequest, keys: list[CurveKey]) -> Line | None:
        curves = []
        for key in keys:
            self._failed.pop(key.folder, None)
            try:
                curves.append(self._curves.read(key))
            except (OSError, ValueError) as error:
                what = f"The curve of the run {key.folder.name} cannot be read"
                self._failed[key.folder] = describe(what, error, ValueError).message
        curves = [curve for curve in curves if len(curve)]
        if not curves:
            return None
        band = fold(curves, request.spread) if len(keys) > 1 else None
        raw = band.mean if band else curves[0]
        smoothed = smooth(raw, request.span) if request.span else None
        fork = request.forks.get(keys[0].folder) if band is None else None
        shared = 0 if fork is None else self._shared(keys[0], fork.epoch)
        if request.logarithmic:
            raw, smoothed = raw.positive(), smoothed and smoothed.positive()
            band = band and Band(raw, band.low.positive(), band.high.positive())
        return Line(raw, smoothed, band, shared, fork is not None and fork.drawn)

    def _shared(self, key: CurveKey, epoch: float) -> int:
        """The number of points up to an epoch."""
        over_epochs = self._curves.read(replace(key, axis="epoch"))
        return int(np.searchsorted(over_epochs.x, epoch * (1 + EXACT), side="right"))


class CurvesReader(Job):
    """The thread that reads curves, from the first request until it is cancelled."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._worker: CurvesWorker | None = None

    def ask(self, request: CurvesRequest) -> None:
        """Read for this request from now on; without groups, nothing."""
        if self._worker not in self._workers:
            if not request.groups:
                return
            self._worker = CurvesWorker(self)
            self._launch(self._worker)
        assert self._worker is not None
        self._worker.request = request
        self._worker.wake.set()

    @Slot()
    def cancel(self) -> None:
        super().cancel()
        if self._worker is not None:
            self._worker.wake.set()
            self._worker = None
