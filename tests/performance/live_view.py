"""What the live view costs a training: how much longer a step takes with it.

The largest layer is open and copied up to ten times a second, as the window does by itself. In one
process, intervals with the view and with none follow each other in an order drawn at random, short
ones, because a machine's speed wanders by far more than the view costs: each step's time is told
relative to the steps around it, and steps that an interval's beginning or an epoch's end fall into
are left out. The range holds nine in ten costs that the same intervals give, drawn again with
replacement. Also by how much the memory of the process grows, from the time after the first epoch,
when everything that a run does has been done once, to the last tenth of the measurement.
Prints JSON.

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
from PySide6.QtCore import QEventLoop, QTimer
from PySide6.QtWidgets import QApplication

from lbc.pictures.score_snapshot import ViewRequest
from lbc_gui.run.session import State
from lbc_gui.settings import Settings
from lbc_gui.window.main_window import MainWindow
from tests.performance.ui_lag import EPOCHS, _experiment, _layers, until

Floats = npt.NDArray[np.float64]

SETTLING = 0.1
"""Seconds at the beginning of an interval in which what was asked for before is served."""

NEIGHBOURS = 101
"""Steps whose median says how fast the machine was."""

HICCUPS = 0.02
"""Share of the steps, at each end, that tell of the machine alone."""


@dataclass(frozen=True)
class Interval:
    """Some seconds with the view or without; then the memory in MB, and epochs done."""

    viewed: bool
    began: float
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
        window.scores.list.layers.setCurrentRow(sizes.index(max(sizes)))
        snapshots: list[object] = []
        window.session.snapshot_arrived.connect(lambda _: snapshots.append(None))
        until(application, lambda: len(snapshots) >= 2)
        seen: list[Interval] = []
        lots = np.random.default_rng(0)
        ends = time.monotonic() + options.seconds
        while time.monotonic() < ends:
            viewed = bool(lots.integers(2))
            seen.append(_interval(window, snapshots, viewed, options.interval))
        window.session.close()
        until(application, lambda: not window.session.live)
        window.close()
    print(json.dumps(_report(options, max(sizes), seen, np.array(steps))))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--interval", type=float, default=1, help="seconds with or without view")
    parser.add_argument("--model", default="resnet18", help="resnet20 takes ten steps a second")
    parser.add_argument("--pattern", default="2:4")
    parser.add_argument("--size", type=int, default=64, help="height and width of the images")
    parser.add_argument("--batch", type=int, default=16)
    return parser.parse_args()


def _steps_of(window: MainWindow) -> list[float]:
    """When each step ended, to be filled while the window trains."""
    desk: Any = window.session._desk
    watch, ended = desk.watch, []

    def watched(*arguments: Any) -> None:
        ended.append(time.monotonic())
        watch(*arguments)

    desk.watch = watched
    return ended


def _interval(
    window: MainWindow, snapshots: list[object], viewed: bool, seconds: float
) -> Interval:
    """Train with the view, or with none asked for, whatever the window itself asks."""
    desk: Any = window.session._desk
    request: ViewRequest | None = window.scores.request
    desk._request = None
    if viewed and request is not None:
        desk.ask(request)
    began, shown = time.monotonic(), len(snapshots)
    _run(seconds)
    epochs = window.progress.value() * EPOCHS // window.progress.maximum()
    drawn = len(snapshots) - shown
    return Interval(viewed, began, time.monotonic(), drawn, _memory(), epochs)


def _run(seconds: float) -> None:
    loop = QEventLoop()
    QTimer.singleShot(int(seconds * 1000), loop.quit)
    loop.exec()


def _memory() -> float:
    """What the process holds in memory at present, in MB (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _relative(steps: Floats) -> Floats:
    """How long each step took, as a multiple of those around it."""
    lasted = np.diff(steps)
    around = sliding_window_view(np.pad(lasted, NEIGHBOURS // 2, mode="edge"), NEIGHBOURS)
    return np.asarray(lasted / np.median(around, axis=1))


def _trimmed_mean(values: Floats) -> float:
    cut = int(HICCUPS * len(values))
    return float(np.sort(values)[cut : len(values) - cut].mean())


def _costs(intervals: list[Interval], steps: Floats) -> tuple[float, list[float]]:
    """By how many per cent fewer steps a second are taken with the view, and the range of it."""
    relative, first, last = _relative(steps), steps[:-1], steps[1:]
    taken: dict[bool, list[Floats]] = {True: [], False: []}
    for at in intervals:
        inside = (first >= at.began + SETTLING) & (last <= at.ended)
        taken[at.viewed].append(relative[inside])

    def cost(chosen: dict[bool, list[Floats]]) -> float:
        alone, viewed = (_trimmed_mean(np.concatenate(chosen[at])) for at in (False, True))
        return 100 * (1 - alone / viewed)

    def again(of: list[Floats]) -> list[Floats]:
        return [of[number] for number in draws.integers(len(of), size=len(of))]

    draws = np.random.default_rng(0)
    drawn = [cost({at: again(of) for at, of in taken.items()}) for _ in range(500)]
    return cost(taken), [round(float(at), 1) for at in np.percentile(drawn, (5, 95))]


def _rate(intervals: list[Interval], viewed: bool) -> float:
    some = [at for at in intervals if at.viewed is viewed]
    return sum(at.snapshots for at in some) / sum(at.ended - at.began for at in some)


def _report(
    options: argparse.Namespace, blocks: int, intervals: list[Interval], steps: Floats
) -> dict[str, object]:
    cost, around = _costs(intervals, steps)
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
        "cost_range": around,
        "memory_mb": {
            "growth": round(float(growth), 1),
            "over_time": [round(float(np.median(part))) for part in np.array_split(memory, parts)],
        },
    }


if __name__ == "__main__":
    sys.exit(main())
