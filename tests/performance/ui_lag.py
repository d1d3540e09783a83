"""Lag of the window's event loop while ResNet-18 trains with its largest layer on screen.

A precise 10 ms timer in the window's thread records its delays. Prints JSON.

    QT_QPA_PLATFORM=offscreen python tests/performance/ui_lag.py --seconds 60
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PySide6.QtCore import QEventLoop, Qt, QTimer
from PySide6.QtWidgets import QApplication

from lbc.config import Experiment, parse_experiment
from lbc.runs.events import LayerInfo
from lbc_gui.run.session import State
from lbc_gui.settings import Settings
from lbc_gui.window.main_window import MainWindow

TICK = 0.010
EPOCHS = 100


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        experiment = _experiment(Path(folder), options.pattern, options.size, options.batch)
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
        layers = window.scores.list
        layers.layers.setCurrentItem(layers._entries()[sizes.index(max(sizes))])
        snapshots: list[float] = []
        window.session.snapshot_arrived.connect(lambda _: snapshots.append(time.perf_counter()))
        until(application, lambda: len(snapshots) >= 2)
        lags = measure_lag(options.seconds)
        count = sum(at > time.perf_counter() - options.seconds for at in snapshots)
        steps = window.progress.value()
        window.session.close()
        until(application, lambda: not window.session.live)
        window.close()
    print(json.dumps(_report(lags, options, max(sizes), count, steps)))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--pattern", default="2:4")
    parser.add_argument("--size", type=int, default=64, help="height and width of the images")
    parser.add_argument("--batch", type=int, default=64)
    return parser.parse_args()


def _experiment(
    folder: Path, pattern: str, size: int, batch: int, model: str = "resnet18"
) -> Experiment:
    numbers = np.random.default_rng(0)
    archive = folder / "noise.npz"
    np.savez(
        archive,
        images=numbers.integers(0, 256, (2048, size, size, 3), dtype=np.uint8),
        labels=np.arange(2048) % 10,
    )
    return parse_experiment({
        "model": {"name": model},
        "data": {"name": "npz", "file": str(archive), "test_share": 0.05},
        "pattern": pattern,
        "training": {"epochs": EPOCHS, "batch_size": batch},
        "schedule": {"end": 60},
    })  # fmt: skip


def _layers(window: MainWindow) -> tuple[LayerInfo, ...]:
    assert window.session.prepared is not None
    return window.session.prepared.layers


def until(application: QApplication, condition: Callable[[], bool]) -> None:
    """Run the event loop until the condition is true. Raises TimeoutError after two minutes."""
    end = time.monotonic() + 120
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("The condition was not met within two minutes.")
        application.processEvents()
        time.sleep(0.005)


def measure_lag(seconds: float) -> list[float]:
    """Run the event loop; return the delay of each timer tick in seconds."""
    with record_lags() as lags:
        run_event_loop(seconds)
    return lags


def run_event_loop(seconds: float) -> None:
    # Not application.quit, which would ask the user to confirm.
    loop = QEventLoop()
    QTimer.singleShot(int(seconds * 1000), loop.quit)
    loop.exec()


@contextmanager
def record_lags(clock: Callable[[], float] = time.perf_counter) -> Iterator[list[float]]:
    """A context that records the delay of each timer tick in seconds.

    With ``time.thread_time``, how long this thread has worked since the tick before.
    """
    lags: list[float] = []
    interval = TICK if clock is time.perf_counter else 0.0
    last = clock()

    def tick() -> None:
        nonlocal last
        now = clock()
        lags.append(now - last - interval)
        last = now

    timer = QTimer()
    timer.setTimerType(Qt.TimerType.PreciseTimer)
    timer.timeout.connect(tick)
    timer.start(int(TICK * 1000))
    yield lags
    timer.stop()


def _report(
    lags: list[float], options: argparse.Namespace, blocks: int, snapshots: int, steps: int
) -> dict[str, object]:
    return {
        "benchmark": "ui_lag",
        "pattern": options.pattern,
        "batch": options.batch,
        "image": options.size,
        "blocks_on_screen": blocks,
        "seconds": options.seconds,
        "ticks": len(lags),
        "snapshots": snapshots,
        "steps": steps,
        "lag_ms": percentiles(lags),
    }


def percentiles(lags: list[float]) -> dict[str, float]:
    """Return percentiles of the lags in milliseconds."""
    milliseconds = np.maximum(np.array(lags), 0) * 1000
    p50, p95, p99 = np.percentile(milliseconds, (50, 95, 99))
    named = {"p50": p50, "p95": p95, "p99": p99, "max": milliseconds.max()}
    return {name: round(float(value), 2) for name, value in named.items()}


if __name__ == "__main__":
    sys.exit(main())
