"""What the live view costs a training: steps a second with and without it.

The largest layer is open and copied up to ten times a second, as the window does by itself. In one
process, intervals with the view and with none take turns, because a machine's speed changes; the
cost is the median over neighbouring pairs. Also by how much the memory of the process grows, from
the time after the first epoch, when everything that a run does has been done once, to the last
tenth of the measurement. Prints JSON.

    QT_QPA_PLATFORM=offscreen python -m tests.performance.live_view --seconds 1200
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
from PySide6.QtCore import QEventLoop, QTimer
from PySide6.QtWidgets import QApplication

from lbc_gui.drawing import ViewRequest
from lbc_gui.main_window import MainWindow
from lbc_gui.session import State
from lbc_gui.settings import Settings
from tests.performance.ui_lag import EPOCHS, _experiment, _layers, until


@dataclass(frozen=True)
class Interval:
    """Steps taken and snapshots drawn in some seconds; then the memory in MB, and epochs done."""

    steps: float
    snapshots: float
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
        window.begin()
        until(application, lambda: window.session.state is State.RUNNING)
        sizes = [layer.blocks for layer in _layers(window)]
        window.scores.layers.setCurrentRow(sizes.index(max(sizes)))
        snapshots: list[object] = []
        window.session.snapshot_arrived.connect(lambda _: snapshots.append(None))
        until(application, lambda: len(snapshots) >= 2)
        seen: dict[bool, list[Interval]] = {True: [], False: []}
        lots = np.random.default_rng(0)
        ends = time.monotonic() + options.seconds
        while time.monotonic() < ends:
            first = bool(lots.integers(2))
            for viewed in (first, not first):
                seen[viewed].append(_interval(window, snapshots, viewed, options.interval))
        window.session.close()
        until(application, lambda: not window.session.live)
        window.close()
    print(json.dumps(_report(options, max(sizes), seen[True], seen[False])))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--interval", type=float, default=2, help="seconds with or without view")
    parser.add_argument("--model", default="resnet18", help="resnet20 takes ten steps a second")
    parser.add_argument("--pattern", default="2:4")
    parser.add_argument("--size", type=int, default=64, help="height and width of the images")
    parser.add_argument("--batch", type=int, default=16)
    return parser.parse_args()


def _interval(
    window: MainWindow, snapshots: list[object], viewed: bool, seconds: float
) -> Interval:
    """Train with the view, or with none asked for, whatever the window itself asks."""
    desk: Any = window.session._desk
    request: ViewRequest | None = window.scores.request
    desk._request = None
    if viewed and request is not None:
        desk.ask(request)
    _run(0.5)  # what was asked for before has been served
    steps, shown, began = window.progress.value(), len(snapshots), time.monotonic()
    _run(seconds)
    lasted = time.monotonic() - began
    taken, drawn = window.progress.value() - steps, len(snapshots) - shown
    epochs = window.progress.value() * EPOCHS // window.progress.maximum()
    return Interval(taken / lasted, drawn / lasted, _memory(), epochs)


def _run(seconds: float) -> None:
    loop = QEventLoop()
    QTimer.singleShot(int(seconds * 1000), loop.quit)
    loop.exec()


def _memory() -> float:
    """What the process holds in memory at present, in MB (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _report(
    options: argparse.Namespace, blocks: int, viewed: list[Interval], alone: list[Interval]
) -> dict[str, object]:
    steps = np.array([(a.steps, b.steps) for a, b in zip(viewed, alone, strict=True)])
    draws = np.random.default_rng(0).integers(len(steps), size=(2000, len(steps)))
    again = steps[draws].sum(axis=1)
    low, high = np.percentile(100 * (1 - again[:, 0] / again[:, 1]), (5, 95))
    cost = 100 * (1 - steps[:, 0].sum() / steps[:, 1].sum())
    seen = [interval for pair in zip(viewed, alone, strict=True) for interval in pair]
    memory = [interval.memory for interval in seen]
    settled = [interval.memory for interval in seen if interval.epochs > 0]
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
        "pairs": len(steps),
        "steps_per_second": {
            "with_view": round(float(np.median([at.steps for at in viewed])), 2),
            "without": round(float(np.median([at.steps for at in alone])), 2),
        },
        "snapshots_per_second": round(float(np.median([at.snapshots for at in viewed])), 1),
        "snapshots_per_second_without": round(float(max(at.snapshots for at in alone)), 1),
        "cost_percent": round(float(cost), 1),
        "cost_range": [round(float(low), 1), round(float(high), 1)],
        "memory_mb": {
            "growth": round(float(growth), 1),
            "over_time": [round(float(np.median(part))) for part in np.array_split(memory, parts)],
        },
    }


if __name__ == "__main__":
    sys.exit(main())
