"""The window trains, scrubs and forks for hours: what grows?

Each round trains a run to its end while moments, layers and pages are looked at, forks it in the
middle, and stops the fork. After each round memory, threads, QTimers, open files and widgets are
counted. Prints JSON; exit status 1 if, after the warm-up, the median of memory grows by more than
five per cent from the first quarter of the rounds to the last, or that of any of the others from
the first half to the second.

    QT_QPA_PLATFORM=offscreen python -m tests.performance.soak --minutes 60
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from statistics import median

os.environ["OMP_NUM_THREADS"] = "1"

from PySide6.QtCore import QEvent, QTimer
from PySide6.QtWidgets import QApplication

from lbc.config import Experiment, parse_experiment
from lbc.runs.kept_checkpoints import kept_moments
from lbc.training.allocator import return_freed_memory
from lbc_gui.run.fork_dialog import ForkDialog
from lbc_gui.run.session import State
from lbc_gui.settings import Settings
from lbc_gui.theme import set_up
from lbc_gui.window.main_window import MainWindow
from tests.gui.window.test_memory import own_megabytes
from tests.performance.event_loop import Watch
from tests.performance.window_watch import (
    Findings,
    isolate,
    open_nothing,
    run_loop,
    wait_until,
)

PATIENCE = 600.0
LARGEST_GROWTH = 0.05


def experiment() -> Experiment:
    return parse_experiment({
        "name": "soak",
        "model": {"name": "mlp", "width": 64},
        "schedule": {"end": 6},
        "training": {"epochs": 8, "batch_size": 250},
    })  # fmt: skip


def play_round(window: MainWindow, chance: Random) -> None:
    """Train to the end, looking around meanwhile; then fork the run, and stop the fork."""
    window.starting.start(experiment(), run=True)
    wait_until(lambda: window.session.state is State.RUNNING, PATIENCE)
    end = time.monotonic() + PATIENCE
    while not window.session.state.over and time.monotonic() < end:
        look_around(window, chance)
    parent = window.session.folder
    assert parent is not None
    wait_until(lambda: bool(window.view_state.view.fork_points), PATIENCE)
    for _ in range(40):
        look_around(window, chance)
    window.pages.setCurrentIndex(0)
    window.view_state.go_to(len(window.view_state.view.moments) // 2)
    window.timeline.fork.trigger()
    wait_until(lambda: bool(window.findChildren(ForkDialog)), PATIENCE)
    dialog = window.findChildren(ForkDialog)[-1]
    wait_until(lambda: dialog.settled, PATIENCE)
    dialog.form.enter("optimizer.lr", 0.01)
    wait_until(lambda: dialog.settled, PATIENCE)
    dialog.train.click()
    wait_until(lambda: window.session.folder != parent and window.session.live, PATIENCE)
    for _ in range(10):
        look_around(window, chance)
    window.session.stop()
    wait_until(lambda: window.session.state.over, PATIENCE)
    assert kept_moments(parent)


def look_around(window: MainWindow, chance: Random) -> None:
    """Show another moment, block, layer or page for a short time."""
    view = window.view_state.view
    window.pages.setCurrentIndex(chance.randrange(window.pages.count()))
    if view.moments:
        window.view_state.go_to(chance.randrange(len(view.moments)))
    if view.layers:
        info = chance.choice(view.layers)
        window.view_state.open_layer(info.name)
        window.view_state.pin(chance.randrange(info.blocks))
    run_loop(0.1)


def counts(window: MainWindow) -> dict[str, float]:
    """What should not grow, once the thread of the run has ended and its memory is returned."""
    run_loop(1.0)
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    gc.collect()
    return_freed_memory()  # which is kept for the next step, and is no growth
    return {
        "mb": round(own_megabytes(), 1),
        "threads": len(list(Path("/proc/self/task").iterdir())),
        "files": len(list(Path("/proc/self/fd").iterdir())),
        "timers": len(window.findChildren(QTimer)),
        "widgets": len(QApplication.allWidgets()),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--warm-up", type=float, default=10, help="minutes")
    options = parser.parse_args()
    findings = Findings()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        report = _soak_in(Path(name), options, findings)
    findings.end()
    print(json.dumps({**report, "findings": dict(findings.counts)}, indent=1))
    return int(bool(report["grown"] or findings.counts))


def _soak_in(folder: Path, options: argparse.Namespace, findings: Findings) -> dict[str, object]:
    isolate(folder)
    findings.watch_failures()
    application = QApplication(sys.argv[:1])
    set_up(application, "light")
    swallow = open_nothing()
    window = MainWindow(experiment(), folder / "runs", Settings(folder / "window.ini"))
    window.show()
    window.begin()
    wait_until(lambda: window.complete and window.session.state is State.READY, PATIENCE)
    watch, chance = Watch(lambda: findings.action), Random(0)
    watch.begin()
    begun, rounds = time.monotonic(), []
    while time.monotonic() - begun < 60 * options.minutes:
        play_round(window, chance)
        rounds.append({"minute": round((time.monotonic() - begun) / 60, 1), **counts(window)})
        print(rounds[-1], file=sys.__stderr__, flush=True)
    watch.end()
    window.closing.start()
    wait_until(lambda: not window.isVisible(), PATIENCE)
    del swallow
    warm = [one for one in rounds if one["minute"] > options.warm_up] or rounds[-1:]
    return {
        "benchmark": "soak",
        "rounds": len(rounds),
        **watch.report(),
        "first": rounds[0],
        "warm": warm[0],
        "last": warm[-1],
        "grown": _grown(warm),
    }


def _grown(rounds: list[dict[str, float]]) -> list[str]:
    """What has grown since the warm-up, in the median of half of the rounds, of memory a quarter.

    A single round may be counted while a thread ends, or before memory is returned.
    """
    half, quarter = max(1, len(rounds) // 2), max(1, len(rounds) // 4)
    grown = [
        key
        for key in ("threads", "files", "timers", "widgets")
        if _median(rounds[-half:], key) > _median(rounds[:half], key)
    ]
    if _median(rounds[-quarter:], "mb") > _median(rounds[:quarter], "mb") * (1 + LARGEST_GROWTH):
        grown.append("mb")
    return grown


def _median(rounds: list[dict[str, float]], key: str) -> float:
    return median(one[key] for one in rounds)


if __name__ == "__main__":
    sys.exit(main())
