"""kill -9 at random moments of real processes: ``lbc train``, and a window that trains."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from lbc.config import Experiment, dump_experiment, load_experiment
from lbc.runs.run_state import RunError, read_state
from lbc.runs.unfinished_run import newest_unfinished
from lbc.training.trainer import Trainer
from tests import warm
from tests.faults.experiment import Outcome, completes, small_experiment

if TYPE_CHECKING:
    from lbc_gui.window.main_window import MainWindow

LONGEST_SECONDS = 0.5
"""After a process has begun to write, it is killed within this time."""


def experiment_in(folder: Path, epochs: int = 60) -> Experiment:
    """A run of some seconds, with a checkpoint after every step."""
    small = small_experiment(folder)
    training = small.training.model_copy(update={"epochs": epochs})
    schedule = small.schedule.model_copy(update={"end": epochs - 10})
    return small.model_copy(update={"training": training, "schedule": schedule})


def kill_commands(folder: Path, kills: int) -> Outcome:
    """Kill ``lbc train`` and ``lbc train --resume``, each run again and again until it ends."""
    file, log = folder / "experiment.yaml", folder / "train.log"

    def start(runs: Path) -> BaseProcess:
        begun = newest_unfinished(runs)
        if begun is not None:
            return warm.start(warm.lbc, "train", "--resume", begun.path, output=log)
        new = runs / f"run-{time.time_ns()}"
        return warm.start(warm.lbc, "train", file, "--out", new, output=log)

    return _kill(Outcome("kill -9 of lbc train at a random moment"), folder, kills, start)


def kill_windows(folder: Path, kills: int) -> Outcome:
    """Kill a window that trains a run, or resumes the one that was killed before."""

    def start(runs: Path) -> BaseProcess:
        return warm.start(
            show_window, folder / "experiment.yaml", runs, output=folder / "window.log",
            environment={"XDG_CONFIG_HOME": str(folder / "settings")},
        )  # fmt: skip

    return _kill(Outcome("kill -9 of the window at a random moment"), folder, kills, start)


def show_window(
    file: Path, runs: Path, attend: Callable[[MainWindow], object] = lambda window: None
) -> None:
    """The window, in which the newest run is resumed or a new one is started.

    ``attend`` is called with it every 20 ms.
    """
    from PySide6.QtCore import QTimer
    from PySide6.QtWidgets import QApplication

    from lbc_gui.settings import Settings
    from lbc_gui.window.main_window import MainWindow

    application = QApplication(["lbc-gui"])
    begun = newest_unfinished(runs)
    window = MainWindow(load_experiment(file), runs, Settings(), not begun)
    window.show()
    window.begin()

    def resume() -> None:
        assert begun is not None
        window.starting.resume(begun.path)

    if begun is not None:
        QTimer.singleShot(100, resume)
    timer = QTimer(interval=20)
    timer.timeout.connect(partial(attend, window))
    timer.start()
    application.exec()


def _kill(
    outcome: Outcome, folder: Path, kills: int, start: Callable[[Path], BaseProcess]
) -> Outcome:
    experiment, chance, runs = experiment_in(folder), Random(0), folder / "runs"
    (folder / "experiment.yaml").write_text(dump_experiment(experiment))
    Trainer(experiment, folder / "expected").train()
    runs.mkdir()
    for number in range(kills):
        before = _written(runs)
        process = start(runs)
        end = time.monotonic() + 120
        while _written(runs) == before and process.is_alive() and time.monotonic() < end:
            time.sleep(0.005)
        time.sleep(chance.uniform(0, LONGEST_SECONDS))
        process.kill()
        process.join()
        outcome.check(_is_readable(runs), f"kill {number}: the run cannot be opened")
    for run in sorted(at for at in runs.iterdir() if (at / "experiment.yaml").exists()):
        outcome.attempt(str(run), partial(completes, experiment, run, folder / "expected"))
    return outcome


def _written(runs: Path) -> int:
    """Changes as soon as a process has written something."""
    files = [*runs.glob("*/*.records"), *runs.glob("*/checkpoint.pt")]
    return sum(file.stat().st_size + file.stat().st_mtime_ns for file in files if file.exists())


def _is_readable(runs: Path) -> bool:
    """Whether every run that has begun can be read."""
    try:
        for state in runs.glob("*/run.json"):
            read_state(state.parent)
    except RunError:
        return False
    return True
