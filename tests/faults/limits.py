"""Runs on a disk that fills, in a folder that goes away, with a clock that jumps, under limits."""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from lbc.config import Experiment
from lbc.runs.events import Event, StepDone
from lbc.runs.unfinished_run import open_unfinished
from lbc.training.failures import TrainingError
from lbc.training.trainer import Trainer
from tests.faults.disks import NOBODY, own_by_nobody
from tests.faults.experiment import (
    Outcome,
    completes,
    experiment_on_files,
    is_sentence,
    small_experiment,
)

AtStep = Callable[[int], object]
YEAR = 365 * 86400.0
PR_CAPBSET_DROP, CAP_SYS_ADMIN, CAP_SYS_RESOURCE = 24, 21, 24
MEMORY = [size << 20 for size in (0, 1, 2, 4, 8, 16)]


def in_process(
    experiment: Experiment, run: Path, at_step: AtStep, before: Callable[[], object] = lambda: None
) -> str:
    """Train in a process of its own, calling ``at_step`` with every step.

    Returns "" at the end of the run, its sentence if it failed, or what else went wrong.
    """

    def emit(event: Event) -> None:
        if isinstance(event, StepDone):
            at_step(event.step)

    told, tell = os.pipe()
    sys.stdout.flush()
    process = os.fork()
    if not process:
        said = "!nothing"
        try:
            before()
            Trainer(experiment, run, emit=emit, resume=(run / "run.json").exists()).train()
            said = ""
        except TrainingError as error:
            said = str(error)
        except BaseException as error:
            said = f"!{type(error).__name__}: {error}"
        finally:
            os.write(tell, said.encode())
            os._exit(0)
    os.close(tell)
    with os.fdopen(told, "rb") as pipe:
        said = pipe.read().decode()
    status = os.waitpid(process, 0)[1]
    return f"!status {status}" if status else said


@contextmanager
def mounted(place: Path, options: str) -> Iterator[None]:
    """A file system in memory. Raises CalledProcessError where that is not allowed."""
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", place], check=True)


def remount(place: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", place], check=True)


def small_disks(folder: Path) -> Iterator[Outcome]:
    """A disk without room, without inodes, or that can only be read; then as it should be."""
    experiment = small_experiment(folder)
    expected = folder / "expected"
    Trainer(experiment, expected).train()
    whole = "size=64m,nr_inodes=1000,rw"
    for fault, many in (
        ("full disk", [f"size={pages * 4096}" for pages in range(1, 20)]),
        ("disk without inodes", [f"size=64m,nr_inodes={count}" for count in range(2, 12)]),
    ):
        outcome = Outcome(fault)
        for options in many:
            place = folder / "disk"
            with mounted(place, options):
                said = in_process(experiment, place / "run", lambda step: None)
                outcome.check(not said.startswith("!"), f"{options}: {said}")
                remount(place, whole)
                outcome.attempt(options, partial(completes, experiment, place / "run", expected))
            place.rmdir()
        yield outcome
    outcome = Outcome("disk that can only be read")
    for last in range(1, 6):
        place = folder / "disk"
        with mounted(place, whole):
            in_process(experiment, place / "run", partial(_stop_at, last))
            remount(place, "ro")
            said = in_process(experiment, place / "run", lambda step: None)
            outcome.check(bool(said) and not said.startswith("!"), f"step {last}: {said}")
            remount(place, "rw")
            outcome.attempt(f"step {last}", partial(completes, experiment, place / "run", expected))
        place.rmdir()
    yield outcome


class StoppedError(TrainingError):
    """Ends a run in its middle, as an error of its own would."""


def _stop_at(last: int, step: int) -> None:
    if step == last:
        raise StoppedError("It was to stop here.")


def remove_folders(folder: Path, steps: Sequence[int] = range(1, 6)) -> Iterator[Outcome]:
    """Move a folder away in the middle of a run, and put it back or train the run anew.

    There is a sentence, but where the run can do without it; then the run completes.
    """
    kinds: dict[str, Callable[[Path], Path]] = {
        "run folder": lambda run: run,
        "folder of the runs": lambda run: run.parent,
        "folder of the images": lambda run: folder / "images",
    }
    for what, chosen in kinds.items():
        experiment = experiment_on_files(folder) if "images" in what else small_experiment(folder)
        expected = folder / f"expected without {what}"
        Trainer(experiment, expected).train()
        for put_back in (True, False):
            outcome = Outcome(f"{what} removed{', and put back' if put_back else ''}")
            for last in steps if put_back or "images" not in what else ():
                run = folder / f"{what}-{last}-{put_back}" / "run"
                run.parent.mkdir()
                gone, kept = chosen(run), folder / "kept"

                def remove(step: int, last: int = last, gone: Path = gone) -> None:
                    if step == last:
                        gone.rename(folder / "kept")

                said = in_process(experiment, run, remove)
                outcome.check(bool(said) and not said.startswith("!"), f"step {last}: {said}")
                shutil.rmtree(gone, ignore_errors=True)
                if put_back:
                    kept.rename(gone)
                else:
                    shutil.rmtree(kept)
                    run.parent.mkdir(exist_ok=True)
                outcome.attempt(f"step {last}", partial(completes, experiment, run, expected))
            if outcome.injected:
                yield outcome


def jump_clock(folder: Path, jumps: Sequence[float] = (-40 * YEAR, -3600, 3600, YEAR)) -> Outcome:
    """Set the clock of a run's process in its middle, and resume it with the right one.

    The files have the times that such a clock would have given them. An hour is what summer time
    changes.
    """
    outcome = Outcome("clock that jumps")
    experiment = small_experiment(folder)
    Trainer(experiment, folder / "expected").train()
    right = time.time
    for jump in jumps:
        for last in (0, 4):  # to its end, and cut off after the jump
            run = folder / f"jumped-{jump:.0f}-{last}" / "run"
            run.parent.mkdir()

            def at_step(step: int, jump: float = jump, last: int = last) -> None:
                if step == 2:
                    time.time = lambda: right() + jump
                if step == last:
                    _stop_at(last, step)

            said = in_process(experiment, run, at_step)
            outcome.check(not said or bool(last), f"{jump} s: {said}")
            for at, file in enumerate(sorted(run.iterdir())):
                stamp = right() + (jump if at % 2 else 0)  # some were written before
                os.utime(file, (stamp, stamp))
            outcome.attempt(f"{jump} s", partial(completes, experiment, run, folder / "expected"))
    return outcome


def limit_process(folder: Path) -> Iterator[Outcome]:
    """Few open files, little memory, few processes: a sentence, and without limits it completes."""
    experiment = small_experiment(folder)
    Trainer(experiment, folder / "expected").train()
    data = experiment.data.model_copy(update={"workers": 2})
    several = experiment.model_copy(update={"data": data})
    for fault, one, kind, used, extra in (
        ("limit on open files", experiment, resource.RLIMIT_NOFILE, _open_files, range(1, 12)),
        ("limit on memory", experiment, resource.RLIMIT_AS, _memory, MEMORY),
        ("limit on processes", experiment, resource.RLIMIT_NPROC, lambda: 0, range(1, 6)),
        ("limit on processes, with data.workers", several, resource.RLIMIT_NPROC, lambda: 0,
         range(1, 3)),
    ):  # fmt: skip
        outcome = Outcome(fault)
        for more in extra:
            run = folder / f"{fault}-{more}"

            def limit(
                kind: int = kind,
                most: int = used() + more,
                run: Path = run,
                several: bool = one is several,
            ) -> None:
                if kind == resource.RLIMIT_NPROC and os.geteuid() == 0:  # root has no such limit
                    own_by_nobody(run)
                    give_up_root(for_workers=several)
                resource.setrlimit(kind, (most, resource.getrlimit(kind)[1]))

            said = in_process(one, run, lambda step: None, limit)
            outcome.check(not said.startswith("!") and is_sentence(said), f"{more}: {said}")
            outcome.attempt(
                f"{fault} {more}", partial(completes, experiment, run, folder / "expected")
            )
        yield outcome


def give_up_root(for_workers: bool) -> None:
    """Become a user whose processes are limited: at once, or only those that are started later,
    which can then still read Python where it is installed for root."""
    libc = ctypes.CDLL(None)
    for capability in (CAP_SYS_ADMIN, CAP_SYS_RESOURCE):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    user = 0 if for_workers else NOBODY
    os.setresuid(NOBODY, user, user)


def _open_files() -> int:
    return max(int(at.name) for at in Path("/proc/self/fd").iterdir()) + 1


def _memory() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def write_twice(folder: Path, steps: Sequence[int] = range(1, 6)) -> Outcome:
    """Begin and resume a run that another process is training: refused, and that one completes."""
    outcome = Outcome("two writers of one folder")
    experiment = small_experiment(folder)
    Trainer(experiment, folder / "expected").train()
    for last in steps:
        run = folder / f"twice-{last}"

        def intrude(step: int, run: Path = run, last: int = last) -> None:
            if step == last:
                for resume in (False, True):
                    try:
                        Trainer(experiment, run, resume=resume).train()
                    except TrainingError as error:
                        print(error, file=sys.stderr)
                    else:
                        raise AssertionError("Both have written.")
                try:
                    open_unfinished(run)
                except ValueError:
                    return
                raise AssertionError("It could be opened to be resumed.")

        said = in_process(experiment, run, intrude)
        outcome.check(not said, f"step {last}: {said}")
        outcome.attempt(f"step {last}", partial(completes, experiment, run, folder / "expected"))
    return outcome
