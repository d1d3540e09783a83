"""Reads the curves of the runs that are compared, and what is added while they train."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import QObject, Slot

from lbc.library.run_curves import METRICS, Axis, CurveKey, Metric, RunCurves
from lbc.pictures.curve import Curve
from lbc.pictures.curve_means import Band, Spread, fold, smooth
from lbc_gui.run.worker import Failed, Job, Worker, describe

POLL_SECONDS = 1.0
"""How often the files of the curves on screen are checked for new rows."""

POST_SECONDS = 0.5
"""How often curves are passed to the window while many are read."""


@dataclass(frozen=True)
class CurvesRequest:
    """What is drawn: one line for each group of runs. ``span``: points to smooth over, 0 none."""

    groups: tuple[tuple[Path, ...], ...] = ()
    metric: Metric = METRICS["accuracy"]
    axis: Axis = "epoch"
    span: int = 0
    spread: Spread = "range"
    logarithmic: bool = False


@dataclass(frozen=True, eq=False)
class Line:
    """One line: the values, smoothed if asked for, and the band around the mean of several runs."""

    raw: Curve
    smoothed: Curve | None = None
    band: Band | None = None

    @property
    def main(self) -> Curve:
        return self.smoothed or self.raw


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
        if request.logarithmic:
            raw, smoothed = raw.positive(), smoothed and smoothed.positive()
            band = band and Band(raw, band.low.positive(), band.high.positive())
        return Line(raw, smoothed, band)


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
