"""What a window that follows a run costs the process that trains it. Prints JSON.

    QT_QPA_PLATFORM=offscreen OMP_NUM_THREADS=1 python -m tests.performance.following
    … python -m tests.performance.following --model resnet18 --viewers 2

One process trains, without a window. In this one a real window opens the run, shows its largest
layer, pins a block, and leaves the run again, in intervals of random order. Each step is compared
with the steps around it. If other processes use the same CPUs, the CPU time of the training thread
is more reliable (``processor_cost_percent``), and most of all the share of it that the thread
spends on looking for commands and on copies (``own_share_percent``). The window itself takes
``window_percent_of_all_processors``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from array import array
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PySide6.QtWidgets import QApplication

from lbc.config import Experiment, load_experiment
from lbc.files.resources import resource
from lbc.following.commands import send
from lbc.following.remote_control import RemoteControl
from lbc.following.trainer_file import trainer_of
from lbc.runs.history_reader import Replay
from lbc.runs.opened_run import open_run
from lbc.sparsity.sparsifier import Sparsifier
from lbc.training.control import Control
from lbc.training.trainer import Trainer
from lbc_gui.settings import Settings
from lbc_gui.window.main_window import MainWindow
from tests.performance.live_view import (
    SETTLING,
    Floats,
    Interval,
    _memory,
    _relative,
    _trimmed_mean,
)
from tests.performance.ui_lag import _experiment, run_event_loop, until


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.model == "digits":
            experiment = load_experiment(
                resource("experiments/digits.yaml"), ["training.epochs=3000", "schedule.end=2000"]
            )
        else:
            experiment = _experiment(folder, "2:4", 64, 16, options.model)
        run, times = folder / "runs" / "run", folder / "times"
        trainer = get_context("spawn").Process(target=train, args=(experiment, run, times))
        trainer.start()
        try:
            intervals, blocks, used = _follow(experiment, run, options)
        finally:
            info = trainer_of(run)
            if info is not None:
                send(run, "stop", info.token)
            trainer.join()
        clocks = np.fromfile(times, "<f8").reshape(-1, 3).T
    report = _report(options, blocks, intervals, *clocks)
    print(json.dumps({**report, "window_percent_of_all_processors": round(used, 2)}, indent=2))
    return 0


def train(experiment: Experiment, folder: Path, times: Path) -> None:
    """Train as ``lbc train`` does, and write three columns: when each step ended, the CPU time of
    the training thread, and that which it has spent on other processes."""
    recorded = array("d")
    spent = 0.0

    def watch(sparsifier: Sparsifier, epoch: float) -> None:
        nonlocal spent
        before = time.thread_time()
        remote.watch(sparsifier, epoch)
        after = time.thread_time()
        spent += after - before
        recorded.extend((time.monotonic(), after, spent))

    control = Control()
    remote = RemoteControl(control, "following.py", lambda event: None)
    Trainer(experiment, folder, control, remote.emit, watch).train()
    times.write_bytes(recorded.tobytes())


def _follow(
    experiment: Experiment, run: Path, options: argparse.Namespace
) -> tuple[list[Interval], int, float]:
    application = QApplication(sys.argv[:1])
    until(application, lambda: trainer_of(run) is not None and (run / "epochs.records").exists())
    windows = []
    for number in range(options.viewers):
        window = MainWindow(experiment, run.parent, Settings(run.parent / f"w{number}.ini"))
        window.resize(1280, 800)
        window.show()
        window.begin()
        until(application, lambda: window.complete)  # noqa: B023
        windows.append(window)
    layers = Replay(run).layers
    largest = max(layers, key=lambda info: info.blocks)
    snapshots: list[object] = []
    for window in windows:
        window.session.snapshot_arrived.connect(snapshots.append)
    intervals: list[Interval] = []
    used: dict[bool, list[float]] = {False: [], True: []}
    generator = np.random.default_rng(0)
    ends = time.monotonic() + options.seconds
    while time.monotonic() < ends:
        viewed = bool(generator.integers(2))
        for window in windows:
            if viewed:
                window.session.open(open_run(run))
                window.view_state.open_layer(largest.name)
                window.view_state.pin(1)
            else:
                window.session.hold(experiment)
        run_event_loop(0.5)
        began, started, shown = time.process_time(), time.monotonic(), len(snapshots)
        run_event_loop(options.interval)
        drawn = len(snapshots) - shown
        intervals.append(Interval(viewed, started, time.monotonic(), drawn, _memory(), 0))
        used[viewed].append(time.process_time() - began)
    for window in windows:
        window.session.close()
        until(application, lambda: not window.session.live)  # noqa: B023
        window.close()
    more = (np.mean(used[True]) - np.mean(used[False])) / options.interval
    return intervals, largest.blocks, 100 * float(more) / (os.cpu_count() or 1)


def _inside(interval: Interval, ends: Floats) -> npt.NDArray[np.bool_]:
    """The steps that were taken in an interval."""
    return (ends[:-1] >= interval.started + SETTLING) & (ends[1:] <= interval.ended)


def _cost(
    intervals: list[Interval], ends: Floats, clock: Floats
) -> tuple[float, tuple[float, float]]:
    """How much longer steps take by ``clock`` while followed, in per cent, and its range."""
    relative = _relative(clock)
    taken: dict[bool, list[Floats]] = {True: [], False: []}
    for at in intervals:
        taken[at.viewed].append(relative[_inside(at, ends)])

    def cost(groups: dict[bool, list[Floats]]) -> float:
        without, viewed = (_trimmed_mean(np.concatenate(groups[at])) for at in (False, True))
        return round(100 * (1 - without / viewed), 2)

    def resample(of: list[Floats]) -> list[Floats]:
        return [of[number] for number in draws.integers(len(of), size=len(of))]

    draws = np.random.default_rng(0)
    drawn = [cost({at: resample(of) for at, of in taken.items()}) for _ in range(500)]
    low, high = np.percentile(drawn, (5, 95))
    return cost(taken), (round(float(low), 2), round(float(high), 2))


def _share(intervals: list[Interval], ends: Floats, processor: Floats, spent: Floats) -> float:
    """The share of the training thread's CPU time that is spent on others, in per cent."""
    inside = np.any([_inside(at, ends) for at in intervals], axis=0)
    return round(100 * float(np.diff(spent)[inside].sum() / np.diff(processor)[inside].sum()), 3)


def _report(
    options: argparse.Namespace,
    blocks: int,
    intervals: list[Interval],
    ends: Floats,
    processor: Floats,
    spent: Floats,
) -> dict[str, object]:
    cost, cost_range = _cost(intervals, ends, ends)
    processor_cost, processor_range = _cost(intervals, ends, processor)
    watched = [at for at in intervals if at.viewed]
    alone = [at for at in intervals if not at.viewed]
    seconds = sum(at.ended - at.started for at in watched)
    return {
        "benchmark": "following",
        "model": options.model,
        "viewers": options.viewers,
        "blocks_on_screen": blocks,
        "intervals": len(intervals),
        "steps_per_second": round(1 / float(np.median(np.diff(ends))), 1),
        "pictures_per_second": round(sum(at.snapshots for at in watched) / seconds, 1),
        "cost_percent": cost,
        "cost_range": cost_range,
        "processor_cost_percent": processor_cost,
        "processor_cost_range": processor_range,
        "own_share_percent": _share(watched, ends, processor, spent),
        "own_share_percent_without": _share(alone, ends, processor, spent),
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--model", default="digits", help="the bundled example, or resnet18")
    parser.add_argument("--viewers", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--interval", type=float, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
