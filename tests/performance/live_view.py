"""Cost of the live view: the increase of a training step's time.

The largest layer is open and copied up to ten times per second, as in normal use. Short intervals
with and without the view follow each other in random order in one process, because the speed of a
machine varies by more than the view costs. Each step's time is relative to the steps around it;
steps at the start of an interval or at the end of an epoch are excluded. The range is the 90 %
bootstrap interval over the intervals. Also measures the growth of the process's memory, from the
end of the first epoch to the last tenth of the measurement. Prints JSON.

    QT_QPA_PLATFORM=offscreen python -m tests.performance.live_view --seconds 1200 --interval 4
    QT_QPA_PLATFORM=offscreen python -m tests.performance.live_view --model resnet20 --size 32
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view
from PySide6.QtWidgets import QApplication

from lbc.pictures.moment_copier import MomentCopier
from lbc.pictures.score_snapshot import ViewRequest
from lbc_gui.run.session import State
from lbc_gui.settings import Settings
from lbc_gui.window.main_window import MainWindow
from tests.performance.ui_lag import EPOCHS, _experiment, _layers, run_event_loop, until

Floats = npt.NDArray[np.float64]

SETTLING = 0.1
"""Seconds at the start of an interval in which earlier requests are completed."""

NEIGHBOURS = 101
"""Number of steps whose median time is the reference for a step."""

TRIMMED = 0.02
"""Fraction of the steps removed at each end as outliers."""


@dataclass(frozen=True)
class Interval:
    """An interval with or without the view; memory in MB and completed epochs at its end."""

    viewed: bool
    started: float
    ended: float
    snapshots: int
    memory: float
    epochs: int


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        experiment = _experiment(
            Path(folder), options.pattern, options.size, options.batch, options.model
        )
        application = QApplication(sys.argv[:1])
        application.setStyle("Fusion")
        window = MainWindow(
            experiment, Path(folder) / "runs", Settings(Path(folder) / "w.ini"), True
        )
        window.resize(1280, 800)
        window.show()
        steps = _steps_of(window)
        window.begin()
        until(application, lambda: window.session.state is State.RUNNING)
        sizes = [layer.blocks for layer in _layers(window)]
        layers = window.scores.list
        layers.layers.setCurrentItem(layers._entries()[sizes.index(max(sizes))])
        snapshots: list[object] = []
        window.session.snapshot_arrived.connect(lambda _: snapshots.append(None))
        until(application, lambda: len(snapshots) >= 2)
        intervals: list[Interval] = []
        generator = np.random.default_rng(0)
        ends = time.monotonic() + options.seconds
        while time.monotonic() < ends:
            viewed = bool(generator.integers(2))
            intervals.append(_interval(window, snapshots, viewed, options.interval))
        window.session.close()
        until(application, lambda: not window.session.live)
        window.close()
    print(json.dumps(_report(options, max(sizes), intervals, np.array(steps))))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--interval", type=float, default=1, help="seconds with or without view")
    parser.add_argument("--model", default="resnet18", help="resnet20 takes ten steps per second")
    parser.add_argument("--pattern", default="2:4")
    parser.add_argument("--size", type=int, default=64, help="height and width of the images")
    parser.add_argument("--batch", type=int, default=16)
    return parser.parse_args()


def _steps_of(window: MainWindow) -> list[float]:
    """Return a list to which the end time of each step is appended during training."""
    copier: Any = MomentCopier
    watch, ended = copier.watch, []

    def watched(*arguments: Any) -> None:
        ended.append(time.monotonic())
        watch(*arguments)

    copier.watch = watched
    return ended


def _interval(
    window: MainWindow, snapshots: list[object], viewed: bool, seconds: float
) -> Interval:
    """Train with or without the view, replacing the request of the window."""
    broker = window.session._renderer.broker
    request: ViewRequest | None = window.scores.request
    broker.demand = None
    if viewed and request is not None:
        broker.ask(request)
    started, shown = time.monotonic(), len(snapshots)
    run_event_loop(seconds)
    epochs = window.progress.value() * EPOCHS // window.progress.maximum()
    drawn = len(snapshots) - shown
    return Interval(viewed, started, time.monotonic(), drawn, _memory(), epochs)


def _memory() -> float:
    """Return the resident memory of the process in MB (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _relative(steps: Floats) -> Floats:
    """Return the duration of each step relative to the steps around it."""
    durations = np.diff(steps)
    around = sliding_window_view(np.pad(durations, NEIGHBOURS // 2, mode="edge"), NEIGHBOURS)
    return np.asarray(durations / np.median(around, axis=1))


def _trimmed_mean(values: Floats) -> float:
    cut = int(TRIMMED * len(values))
    return float(np.sort(values)[cut : len(values) - cut].mean())


def _costs(intervals: list[Interval], steps: Floats) -> tuple[float, list[float]]:
    """Return the reduction of steps per second by the view, in per cent, and its range."""
    relative, first, last = _relative(steps), steps[:-1], steps[1:]
    taken: dict[bool, list[Floats]] = {True: [], False: []}
    for at in intervals:
        inside = (first >= at.started + SETTLING) & (last <= at.ended)
        taken[at.viewed].append(relative[inside])

    def cost(groups: dict[bool, list[Floats]]) -> float:
        without, viewed = (_trimmed_mean(np.concatenate(groups[at])) for at in (False, True))
        return 100 * (1 - without / viewed)

    def resample(of: list[Floats]) -> list[Floats]:
        return [of[number] for number in draws.integers(len(of), size=len(of))]

    draws = np.random.default_rng(0)
    drawn = [cost({at: resample(of) for at, of in taken.items()}) for _ in range(500)]
    return cost(taken), [round(float(at), 1) for at in np.percentile(drawn, (5, 95))]


def _rate(intervals: list[Interval], viewed: bool) -> float:
    some = [at for at in intervals if at.viewed is viewed]
    return sum(at.snapshots for at in some) / sum(at.ended - at.started for at in some)


def _report(
    options: argparse.Namespace, blocks: int, intervals: list[Interval], steps: Floats
) -> dict[str, object]:
    cost, interval_range = _costs(intervals, steps)
    memory = [interval.memory for interval in intervals]
    settled = [interval.memory for interval in intervals if interval.epochs > 0]
    tenth, parts = max(1, len(settled) // 10), min(20, len(memory))
    growth = np.median(settled[-tenth:]) - np.median(settled[:tenth]) if settled else np.nan
    return {
        "benchmark": "live_view",
        "model": options.model,
        "pattern": options.pattern,
        "batch": options.batch,
        "image": options.size,
        "blocks_on_screen": blocks,
        "seconds": options.seconds,
        "intervals": len(intervals),
        "steps_per_second": round(1 / float(np.median(np.diff(steps))), 2),
        "snapshots_per_second": round(_rate(intervals, True), 1),
        "snapshots_per_second_without": round(_rate(intervals, False), 1),
        "cost_percent": round(cost, 1),
        "cost_range": interval_range,
        "memory_mb": {
            "growth": round(float(growth), 1),
            "over_time": [round(float(np.median(part))) for part in np.array_split(memory, parts)],
        },
    }


if __name__ == "__main__":
    sys.exit(main())
