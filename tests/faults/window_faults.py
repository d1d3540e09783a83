"""What happens to a window that trains when its disks, folders and limits change under it.

The window has to stay, without an unexpected error, and say what is wrong where the run needs what
was taken away; once it is back, a click on Run, and the run ends in the bits of an undisturbed one.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import IO, TYPE_CHECKING

from lbc.config import dump_experiment
from lbc.runs.run_state import RunError, read_state
from lbc.training.trainer import Trainer
from tests import warm
from tests.faults.experiment import EXACT, Outcome
from tests.faults.limits import mounted, remount
from tests.faults.random_kills import experiment_in, show_window

if TYPE_CHECKING:
    from lbc_gui.window.main_window import MainWindow

EPOCHS = 30
LONGEST_SECONDS = 180.0
OVER = ("stopped", "failed")
WHOLE = "size=64m,nr_inodes=2000,rw"


def show_attended(file: Path, runs: Path, place: Path) -> None:
    """A window that writes its state into ``place``; the action that ``place/click`` names is
    clicked."""
    logging.basicConfig(filename=place / "log")  # what is printed is not expected
    with (place / "said.json").open("w") as said:  # open: later no file may be
        show_window(file, runs, partial(_attend, place, said))


def _attend(place: Path, file: IO[str], window: MainWindow) -> None:
    said = {"state": window.session.state.value, "message": window.message.text}
    file.seek(0)
    file.write(json.dumps(said).ljust(4096))
    file.flush()
    if (place / "click").exists():
        action = (place / "click").read_text()
        (place / "click").unlink()
        getattr(window.actions_, action).trigger()


def _is_finished(run: Path) -> bool:
    try:
        return read_state(run).status == "finished"
    except RunError:
        return False


@dataclass
class Watched:
    """A window in a process of its own; ``runs`` holds its run and ``home`` what it remembers."""

    place: Path
    runs: Path

    def __post_init__(self) -> None:
        self.place.mkdir(exist_ok=True)
        self.home = self.place / "home"
        self.log = self.place / "window.log"
        self.process: BaseProcess

    def start(self, file: Path) -> None:
        names = {"XDG_CONFIG_HOME": "config", "XDG_CACHE_HOME": "cache", "XDG_STATE_HOME": "state"}
        self.process = warm.start(
            show_attended, file, self.runs, self.place, output=self.log,
            environment={name: str(self.home / at) for name, at in names.items()},
        )  # fmt: skip

    @property
    def said(self) -> dict[str, str]:
        try:
            return dict(json.loads((self.place / "said.json").read_text()))
        except (OSError, ValueError):  # not begun, or just being written
            return {"state": "", "message": ""}

    @property
    def run(self) -> Path | None:
        """The run, or of several the one that has finished."""
        runs = [at.parent for at in self.runs.glob("*/steps.records")]
        return max(runs, key=_is_finished, default=None)

    @property
    def rows(self) -> int:
        return 0 if self.run is None else (self.run / "steps.records").stat().st_size // 40

    @property
    def finished(self) -> bool:
        return self.run is not None and _is_finished(self.run)

    def wait(self, condition: Callable[[], bool]) -> bool:
        """Wait until it is true; False if the process ends or too much time passes before."""
        end = time.monotonic() + LONGEST_SECONDS
        while self.process.is_alive() and time.monotonic() < end:
            try:
                if condition():
                    return True
            except OSError:
                pass  # the file is just being replaced
            time.sleep(0.02)
        return False

    def click(self, action: str) -> None:
        (self.place / "new").write_text(action)
        (self.place / "new").rename(self.place / "click")

    def end(self, quiet: bool = True) -> str:
        """Kill it; return what was wrong: that it has ended, or if ``quiet`` printed an error."""
        alive = self.process.is_alive()
        self.process.kill()
        self.process.join()
        printed = self.log.read_text()
        if quiet and "Traceback" in printed:
            return printed[-2000:]
        return "" if alive else f"It ended by itself: {self.process.exitcode}."


@dataclass
class Fault:
    """``break_`` takes something away from a window, and ``mend`` gives it back.

    ``needed``: the run cannot go on without, so that the window has to say so.
    """

    break_: Callable[[Watched], object]
    mend: Callable[[Watched], object] = lambda window: None
    needed: bool = True
    clicks: tuple[str, ...] = ("run",)
    """What the user clicks then, one after the other."""
    quiet: bool = True
    """No error is unexpected. (Any import may fail where no file can be opened.)"""
    runs: str = ""
    """Options of a file system in memory for the runs, if they are to be in one."""


def _move(path: Path, back: bool = False) -> None:
    aside = path.with_name("aside")
    shutil.rmtree(path if back else aside, ignore_errors=True)
    (aside if back else path).rename(path if back else aside)


def _remove(path: Path) -> None:
    aside = path.parents[1] / "aside"  # at once, as it is written into
    shutil.rmtree(path.rename(aside))


def _forbid_writing(path: Path) -> None:
    """As on a disk that the kernel has made read-only; files that are open stay writable."""
    subprocess.run(["mount", "--bind", path, path], check=True)
    command = ["mount", "-o", "remount,bind,ro", str(path)]
    _insist(lambda: subprocess.run(command, check=True))  # a file is open for writing for a moment


def _allow_writing(path: Path) -> None:
    subprocess.run(["umount", path], check=True)


def _insist(change: Callable[[], object]) -> None:
    """Make a change to a disk that its use may prevent for a moment."""
    for tries in range(1, 21):
        try:
            change()
            break
        except subprocess.CalledProcessError:
            if tries == 20:
                raise
            time.sleep(0.05)


def _limit_files(window: Watched, more: int | None) -> None:
    if sys.platform != "linux":
        return
    pid = window.process.pid
    assert pid is not None
    _, most = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = min(_highest_descriptor(pid) for _ in range(20))  # without what is open for a moment
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (most if more is None else used + more, most))


def _highest_descriptor(pid: int) -> int:
    time.sleep(0.005)
    return max(int(at.name) for at in Path(f"/proc/{pid}/fd").iterdir())


def _fill(disk: Path) -> None:
    """Leave room for one page. A disk is made no smaller than what training writes meanwhile."""

    def shrink() -> None:
        found = os.statvfs(disk)
        used = (found.f_blocks - found.f_bfree) * found.f_frsize
        remount(disk, f"size={used + 4096}")

    _insist(shrink)


FAULTS: dict[str, Fault] = {
    "run folder removed": Fault(
        lambda at: _remove(at.run or Path()), clicks=("stop", "run")
    ),
    "folder of the runs removed": Fault(
        lambda at: _move(at.runs), lambda at: _move(at.runs, back=True)
    ),
    "settings, cache and state folders removed": Fault(
        lambda at: _remove(at.home), needed=False
    ),
    "settings, cache and state folders that can only be read": Fault(
        lambda at: _forbid_writing(at.home), lambda at: _allow_writing(at.home), needed=False
    ),
    "full disk": Fault(
        lambda at: _fill(at.runs),
        lambda at: remount(at.runs, WHOLE), runs=WHOLE,
    ),
    "disk that can only be read": Fault(
        lambda at: _forbid_writing(at.runs), lambda at: _allow_writing(at.runs)
    ),
    "limit on open files": Fault(
        lambda at: _limit_files(at, 1), lambda at: _limit_files(at, None), quiet=False
    ),
}  # fmt: skip


def window_faults(folder: Path, moments: tuple[int, ...] = (3, 20, 40)) -> Iterator[Outcome]:
    """Inject each fault after each number of steps."""
    experiment, file = experiment_in(folder, EPOCHS), folder / "experiment.yaml"
    file.write_text(dump_experiment(experiment))
    expected = folder / "expected"
    Trainer(experiment, expected).train()
    for what, fault in FAULTS.items():
        outcome = Outcome(f"{what}, under a window")
        for rows in moments:
            place = folder / f"{what} {rows}"
            place.mkdir()
            outcome.check(*_inject(fault, Watched(place, place / "runs"), file, rows, expected))
        yield outcome
    yield write_beside(folder, file, expected, moments)


def write_beside(folder: Path, file: Path, expected: Path, moments: Sequence[int]) -> Outcome:
    """Train the run of a window by ``lbc train`` too, anew and resumed, and open a second window.

    The command is refused in a sentence, and the second window begins a run of its own or follows.
    """
    outcome = Outcome("two writers: a window, lbc train and a second window")
    for rows in moments:
        windows = [Watched(folder / f"{what} {rows}", folder / f"shared {rows}") for what in "ab"]
        windows[0].runs.mkdir()
        windows[0].start(file)
        ready = windows[0].wait(partial(_has_rows, windows[0], rows))
        run, log = windows[0].run or folder, folder / f"train {rows}.log"
        windows[1].start(file)
        for arguments in (("--resume", run), (file, "--out", run)):
            command = warm.start(warm.lbc, "train", *arguments, output=log)
            command.join(LONGEST_SECONDS)
            said = log.read_text().strip()
            refused = command.exitcode == 2 and "Traceback" not in said
            outcome.check(ready and refused, f"{rows} steps: {command.exitcode}: {said}")
        first = windows[0].wait(partial(_is_finished, run))
        second = windows[1].wait(partial(_says_finished, windows[1]))
        for window, ended in zip(windows, (first, second), strict=True):
            wrong = window.end() or ("" if ended else "It did not finish.")
            outcome.check(not wrong, f"{rows} steps: {wrong} ({window.said})")
        every = [at.parent for at in windows[0].runs.glob("*/steps.records")]
        wrong = " ".join(_differs(one, expected) for one in every).strip()
        outcome.check(not wrong, f"{rows} steps: {wrong}")
    return outcome


def _says_finished(window: Watched) -> bool:
    return window.said["state"] == "finished"


def _has_rows(window: Watched, rows: int) -> bool:
    return window.rows >= rows


def _inject(
    fault: Fault, window: Watched, file: Path, rows: int, expected: Path
) -> tuple[bool, str]:
    with ExitStack() as disks:
        window.home.mkdir()
        if fault.runs:
            disks.enter_context(mounted(window.runs, fault.runs))
        else:
            window.runs.mkdir()
        window.start(file)
        try:
            problem = _survives(fault, window, rows)
        finally:
            wrong = window.end(fault.quiet)
            if not fault.needed:
                fault.mend(window)
        problem = problem or wrong or _differs(window.run, expected)
    return not problem, f"{rows} steps: {problem} ({window.said})"


def _survives(fault: Fault, window: Watched, rows: int) -> str:
    """Break, wait for the sentence, mend, click, wait for the end; what failed, "" if nothing."""
    if not window.wait(lambda: window.rows >= rows):
        return "It did not train."
    if not fault.needed:
        fault.break_(window)
    else:
        try:
            fault.break_(window)
            problem = _complains(window)
        finally:
            fault.mend(window)
        if problem:
            return problem
        for action in fault.clicks:
            window.click(action)
            if action == "stop" and not window.wait(lambda: window.said["state"] in OVER):
                return "It did not stop."
    return "" if window.wait(lambda: window.finished) else "It did not finish."


def _complains(window: Watched) -> str:
    """Wait for the window to pause and say why; what failed, "" if nothing."""
    if not window.wait(lambda: window.said["state"] in ("paused", *OVER)):
        return "It went on."
    return "" if window.said["message"] else "It said nothing."


def _differs(run: Path | None, expected: Path) -> str:
    if run is None:
        return "There is no run."
    names = [name for name in EXACT if (run / name).read_bytes() != (expected / name).read_bytes()]
    return f"{', '.join(names)} differ" if names else ""
