"""A disk that is full, or may not be written, at every size and moment of a run."""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from lbc.config import Experiment
from lbc.runs.events import Event, StepDone
from lbc.training.failures import TrainingError
from lbc.training.trainer import Trainer
from tests.faults.experiment import Outcome, completes, small_experiment

NOBODY = 65534


def fill_disk(folder: Path, sizes: Sequence[int] | None = None) -> Outcome:
    """Let no file grow beyond each of ``sizes`` bytes, and continue the run with room again."""
    outcome = Outcome("no room for a file beyond a size")
    experiment = small_experiment(folder)
    Trainer(experiment, folder / "expected").train()
    largest = max(file.stat().st_size for file in (folder / "expected").glob("*.*"))
    free = resource.getrlimit(resource.RLIMIT_FSIZE)
    for size in sizes if sizes is not None else range(0, largest, 97):
        run = folder / f"full-{size}"
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, free[1]))
        try:
            Trainer(experiment, run).train()
            message = "Earlier data is kept."  # nothing was larger
        except TrainingError as error:
            message = str(error)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, free)
        outcome.check(message.endswith("Earlier data is kept."), f"{size}: {message}")
        outcome.attempt(f"{size} bytes", partial(completes, experiment, run, folder / "expected"))
        shutil.rmtree(run)
    return outcome


def forbid_writing(folder: Path, steps: Sequence[int] = range(1, 6)) -> Outcome:
    """Take away the right to write the run's folder after a step, and continue with it again."""
    outcome = Outcome("no permission for the run folder")
    experiment = small_experiment(folder)
    Trainer(experiment, folder / "expected").train()
    for last in steps:
        run = folder / f"forbidden-{last}"
        if _is_refused(folder, run, last):
            outcome.attempt(
                f"step {last}",
                partial(completes, experiment, run, folder / "expected"),
            )
        else:
            outcome.check(False, f"step {last}: no sentence")
    return outcome


def own_by_nobody(run: Path) -> None:
    """Make a folder in which a user without privileges can train a run."""
    run.mkdir(exist_ok=True)
    os.chown(run, NOBODY, NOBODY)
    for parent in run.parents:  # which pytest makes for its user alone
        if parent.stat().st_uid == 0 and parent != Path(parent.anchor):
            parent.chmod(parent.stat().st_mode | 0o011)


def _train_as_nobody(experiment: Experiment, run: Path, emit: Callable[[Event], None]) -> None:
    if os.geteuid() == 0:
        own_by_nobody(run)
        os.seteuid(NOBODY)
    try:
        Trainer(experiment, run, emit=emit).train()
    except TrainingError as error:
        os._exit(0 if str(error).endswith("Earlier data is kept.") else 2)


def _is_refused(folder: Path, run: Path, last: int) -> bool:
    """Whether a run ends with a sentence; in a process of its own, which is not root."""
    experiment = small_experiment(folder)
    run.mkdir()

    def forbid(event: Event) -> None:
        if isinstance(event, StepDone) and event.step == last:
            run.chmod(0o500)

    process = os.fork()
    if not process:
        try:
            _train_as_nobody(experiment, run, forbid)
        finally:
            os._exit(1)  # after an error too: the rest of the tests is the parent's
    status = os.waitpid(process, 0)[1]
    run.chmod(0o700)
    return status == 0
