"""Runs that a process of its own trains, commanded through their folders."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from lbc.config import Experiment, dump_experiment
from lbc.following.commands import send
from lbc.following.trainer_file import TrainerInfo, trainer_of
from lbc.runs.events import Command, Intervention, Steering
from lbc.runs.history_reader import Replay
from lbc.runs.metrics import read_steps
from tests import warm

LONG = {
    "training": {"epochs": 10_000, "batch_size": 500},
    "schedule": {"start": 8000, "end": 9000},
}
"""Settings of a run that trains, and removes nothing, for as long as a test takes."""


def wait(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


class Trained:
    """``lbc train`` in a process of its own, a run of which every step can be waited for."""

    def __init__(self, experiment: Experiment, folder: Path) -> None:
        self.folder, self.output = folder, folder.with_suffix(".log")
        file = folder.with_suffix(".yaml")
        file.write_text(dump_experiment(experiment))
        self.start(file, "--out", folder)

    def start(self, *arguments: object) -> None:
        """Train in a new process, and wait until it says who it is."""
        self.process = warm.start(warm.lbc, "train", *arguments, output=self.output)
        wait(lambda: self.info is not None and self.info.pid == self.process.pid)

    @property
    def layer(self) -> str:
        """The first sparse layer."""
        return Replay(self.folder).layers[0].name

    @property
    def info(self) -> TrainerInfo | None:
        return trainer_of(self.folder)

    @property
    def state(self) -> str:
        info = self.info
        return "" if info is None else info.state

    @property
    def steps(self) -> int:
        with suppress(OSError):
            return len(read_steps(self.folder))
        return 0

    @property
    def losses(self) -> list[float]:
        return [step.loss for step in read_steps(self.folder)]

    def send(self, command: Command | Intervention | Steering) -> None:
        info = self.info
        assert info is not None
        send(self.folder, command, info.token)

    def pause(self) -> None:
        """Pause, and wait until no step is being trained."""
        self.send("pause")
        wait(lambda: self.state == "paused")

    def kill(self) -> None:
        self.process.kill()
        self.process.join()
