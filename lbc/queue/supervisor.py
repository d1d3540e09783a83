"""The process that trains the entries of a queue, a number at a time, until none is left."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from lbc.config import Experiment, load_experiment
from lbc.config.strict_yaml import ExperimentError
from lbc.files.lock import lock
from lbc.files.os_errors import explain
from lbc.files.printable import printable
from lbc.files.small_file import read_small
from lbc.queue.entries import Entry, Queue, State, may_start, without_orphans
from lbc.queue.process import LOCK_SECONDS, is_alive, launch
from lbc.queue.queue_file import SIZE_LIMIT, QueueFile
from lbc.runs.annotations import change_annotations
from lbc.runs.kept_checkpoints import CHECKPOINT
from lbc.runs.new_folder import is_unused
from lbc.runs.own_runs import may_import
from lbc.runs.run_state import RunError, read_state

POLL_SECONDS = 0.5
RETRY_SECONDS = 5.0
MOST_KILLS = 5
"""Kills without progress after which a run fails, as one that exhausts the memory."""

DONE, ERRORS, STOPPED = 0, (1, 2), 130
"""Exit statuses of ``lbc train``; others are those of a killed process."""


def work(runs: Path, report: Callable[[str], object]) -> bool:
    """Train the entries until none is left; return False if another process does already.

    ``report`` is called with a sentence for every start and end. Processes that train outlive this
    one: the next adopts those, and resumes the runs that were cut off.
    """
    file = QueueFile(runs)
    file.folder.mkdir(exist_ok=True)
    with (file.folder / "supervisor.lock").open("ab") as guard:
        if not lock(guard, LOCK_SECONDS):
            return False
        supervisor, failure = _Supervisor(file, report), ""
        while not guard.closed and file.folder.is_dir():
            try:
                before, after = supervisor.advance(guard.close)
            except OSError as error:
                sentence = explain(error, f"{error.filename or runs} failed")
                if sentence != failure:  # or a disk that stays away would fill the log
                    report(sentence)
                failure = sentence
                time.sleep(RETRY_SECONDS)
                continue
            failure = ""
            if before == after and not guard.closed:
                time.sleep(POLL_SECONDS)
    supervisor.notify()
    return True


class _Supervisor:
    def __init__(self, file: QueueFile, report: Callable[[str], object]) -> None:
        self._file, self._report = file, report
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._kills: dict[int, tuple[int, int]] = {}
        self._ended: dict[State, int] = {}

    def advance(self, release: Callable[[], None]) -> tuple[Queue, Queue]:
        """Look after running entries and choose the next; return the queue before and after.

        If none is left, ``release`` is called before anyone can add another.
        """
        before = Queue()

        def change(queue: Queue) -> Queue:
            nonlocal before
            before = queue
            alive = {entry.id for entry in queue.entries if self._is_alive(entry)}
            attended = (
                self._attend(entry) if entry.state == "running" and entry.id not in alive else entry
                for entry in queue.entries
            )
            after = self._chosen(replace(queue, entries=tuple(attended)), alive)
            if not alive and not after.count("running"):  # nor can a waiting one start
                release()
            return after

        after = self._file.change(change)
        return before, after

    def notify(self) -> None:
        """Say on the desktop, if there is one, what has become of the entries."""
        command = shutil.which("notify-send")
        if command and self._ended:
            text = ", ".join(f"{count} {state}" for state, count in sorted(self._ended.items()))
            with suppress(OSError, subprocess.SubprocessError):
                subprocess.run(
                    [command, "--app-name=LBC Explorer", f"The queue has ended: {text}."],
                    timeout=RETRY_SECONDS, check=False, capture_output=True,
                )  # fmt: skip

    def _is_alive(self, entry: Entry) -> bool:
        process = self._processes.get(entry.id)
        if process is not None and process.poll() is None:
            return True
        return entry.state not in ("finished", "failed") and is_alive(self._file, entry)

    def _chosen(self, queue: Queue, alive: set[int]) -> Queue:
        """Let the first waiting entries run. Their processes start only once this is on disk.

        Else a run would go on unknown to the queue if this process were killed in between.
        """
        busy = {entry.id for entry in queue.entries if entry.state == "running"} | alive
        free = max(0, queue.jobs - len(busy))
        queue = without_orphans(queue)
        waiting = [entry for entry in queue.entries if may_start(queue, entry)]
        chosen = [entry for entry in waiting if entry.id not in alive][:free]
        for entry in chosen:  # how it ended before its pause is of no matter now
            self._processes.pop(entry.id, None)
        threads = threads_of(queue.jobs)
        return queue.put(*(
            replace(
                entry, state="running", reason="",
                threads=threads if entry.threads is None else entry.threads,
            )
            for entry in chosen
        ))  # fmt: skip

    def _attend(self, entry: Entry) -> Entry:
        """Start, resume or end an entry that is to run and has no process."""
        process = self._processes.pop(entry.id, None)
        code = None if process is None else process.returncode
        if code == DONE or self._is_finished(entry):
            return self._end(entry, "finished", "")
        if code == STOPPED:
            return self._end(entry, "paused", "It was stopped from outside the queue.")
        if code in ERRORS:
            return self._end(entry, "failed", self._failure(entry))
        if code is not None and self._is_stuck(entry):
            reason = f"Its process was killed {MOST_KILLS} times without getting further"
            return self._end(entry, "failed", f"{reason} (status {code}).")
        return self._start(entry)

    def _start(self, entry: Entry) -> Entry:
        folder = self._file.runs / entry.folder
        try:
            arguments = train_arguments(self._file, entry)
            if entry.group and is_unused(folder):
                folder.mkdir(exist_ok=True)
                change_annotations(folder, lambda old: replace(old, group=old.group or entry.group))
            self._processes[entry.id] = launch(self._file, entry, arguments)
        except (ExperimentError, RunError, ValueError) as error:
            return self._end(entry, "failed", "; ".join(str(error).splitlines()))
        except OSError as error:
            reason = explain(error, f"{error.filename or folder} failed")
            return self._end(entry, "failed", reason)
        self._report(f"Entry {entry.id} runs in {folder}.")
        return entry

    def _end(self, entry: Entry, state: State, reason: str) -> Entry:
        self._ended[state] = self._ended.get(state, 0) + 1
        self._report(" ".join(filter(None, (f"Entry {entry.id} is {state}.", reason))))
        return replace(entry, state=state, reason=reason)

    def _is_finished(self, entry: Entry) -> bool:
        try:
            return read_state(self._file.runs / entry.folder).status == "finished"
        except RunError:
            return False

    def _failure(self, entry: Entry) -> str:
        """What the run, or else the last line of its log, says."""
        with suppress(RunError):
            state = read_state(self._file.runs / entry.folder)
            if state.status == "failed" and state.message:
                return state.message
        with suppress(OSError):
            log = read_small(self._file.file_of(entry.id, "log"), SIZE_LIMIT)
            lines = log.decode(errors="replace").split("\n")
            return next((printable(line) for line in reversed(lines) if line.strip()), "")
        return ""

    def _is_stuck(self, entry: Entry) -> bool:
        """Whether a run has been killed too often since its last checkpoint."""
        written = 0
        with suppress(OSError):
            written = (self._file.runs / entry.folder / CHECKPOINT).stat().st_mtime_ns
        last, count = self._kills.get(entry.id, (written, 0))
        count = count + 1 if last == written else 1
        self._kills[entry.id] = (written, count)
        return count >= MOST_KILLS


def train_arguments(file: QueueFile, entry: Entry) -> tuple[str, ...]:
    """The arguments of ``lbc`` to start or resume the run of an entry.

    Raises ValueError or ExperimentError if that must not or cannot be done.
    """
    folder = file.runs / entry.folder
    experiment = file.experiment_of(entry)
    if not may_import(folder, experiment.model):
        raise ValueError(
            "This run was not queued on this computer by you, and its model is code that its file "
            "names: if you trust it, queue the experiment yourself."
        )
    place, pictures = str(folder.resolve()), () if entry.pictures else ("--no-pictures",)
    if is_unused(folder):
        return "train", str(file.file_of(entry.id, "yaml").resolve()), "--out", place, *pictures
    if not _is_run_of(experiment, folder):
        raise ValueError(f"{folder} is not empty and holds no run of this entry: move it away.")
    return "train", "--resume", place, *pictures


def _is_run_of(experiment: Experiment, folder: Path) -> bool:
    try:
        return load_experiment(folder / "experiment.yaml") == experiment
    except ExperimentError:
        return False


def usual_jobs(experiment: Experiment) -> int:
    """The runs at a time unless they are chosen: two where they do not share a GPU or a core."""
    return 2 if experiment.device == "cpu" and count_cores() > 1 else 1


def count_cores() -> int:
    """The cores that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return cores or 1


def threads_of(jobs: int) -> int:
    """The threads of each of ``jobs`` runs: the cores shared out, or torch's own choice for one."""
    if jobs == 1:
        return 0
    share = max(1, count_cores() // jobs)
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return min(share, int(limit)) if limit.isdecimal() and int(limit) else share
