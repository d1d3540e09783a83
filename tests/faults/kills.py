"""kill -9 before and after every file operation of a run."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from lbc.config import Experiment
from lbc.training.trainer import Trainer
from tests.faults.experiment import Outcome, completes, small_experiment

OPERATIONS = frozenset({
    "open", "write", "fsync", "replace", "rename", "unlink", "remove", "mkdir", "truncate", "flock",
})  # fmt: skip
OURS = f"{os.sep}lbc{os.sep}"


class Killer:
    """A profile function that counts this package's file operations and kills at the ``last``."""

    def __init__(self, last: int) -> None:
        self.count = 0
        self._last = last

    def __call__(self, frame: FrameType, event: str, called: Any) -> None:
        if event not in ("c_call", "c_return") or called.__name__ not in OPERATIONS:
            return
        caller: FrameType | None = frame
        for _ in range(3):  # pathlib is between
            if caller is not None and OURS in caller.f_code.co_filename:
                self.count += 1
                if self.count == self._last:
                    os.kill(os.getpid(), signal.SIGKILL)
                return
            caller = caller.f_back if caller is not None else None


def run_until(last: int, experiment: Experiment, run: Path) -> int:
    """Train in a process of its own, killed at its file operation ``last``.

    Returns its wait status, 0 if it ended before.
    """
    process = os.fork()
    if process:
        return os.waitpid(process, 0)[1]
    try:
        sys.setprofile(Killer(last))
        Trainer(experiment, run).train()
        os._exit(0)
    finally:
        os._exit(1)  # after an error too: the rest of the tests is the parent's


def count_operations(experiment: Experiment, run: Path) -> int:
    """Train undisturbed, and count the moments at which a kill can be told from another."""
    counter = Killer(0)
    sys.setprofile(counter)
    try:
        Trainer(experiment, run).train()
    finally:
        sys.setprofile(None)
    return counter.count


def kill_everywhere(folder: Path, moments: Sequence[int] | None = None) -> Outcome:
    """Kill a run at each of ``moments``, all by default, and continue it to its end."""
    outcome = Outcome("kill -9 at a file operation")
    experiment = small_experiment(folder)
    expected = folder / "expected"
    count = count_operations(experiment, expected)
    for last in moments if moments is not None else range(1, count + 1):
        run = folder / f"killed-{last}"
        status = run_until(last % count + 1, experiment, run)
        if not os.WIFSIGNALED(status):
            raise RuntimeError(f"The run was not killed at operation {last} of {count}.")
        outcome.attempt(f"operation {last}", partial(completes, experiment, run, expected))
        shutil.rmtree(run, ignore_errors=True)
    return outcome
