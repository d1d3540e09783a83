"""The process that trains a queue: real runs, interrupted in every way."""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from lbc.cli.console import Console
from lbc.cli.terminal import train_in_terminal
from lbc.config import Experiment
from lbc.files.lock import is_locked, lock
from lbc.files.priority import AUTOGROUP, NICENESS
from lbc.queue.commands import add, add_group, read_queue, steer, working
from lbc.queue.entries import Entry, QueueError
from lbc.queue.process import LOCK_SECONDS, find_process
from lbc.queue.queue_file import QueueFile
from lbc.queue.supervisor import STOPPED, _Supervisor, threads_of, train_arguments, work
from lbc.runs.own_runs import may_import
from lbc.runs.records import read_records
from lbc.training.trainer import Trainer
from tests import warm
from tests.faults.experiment import small_experiment
from tests.training.resumption import assert_same_run, stop_at

if sys.platform == "win32":
    pytest.skip("needs a fork server and kill", allow_module_level=True)

EPOCHS = 40


def wait(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def entry(runs: Path, number: int = 1) -> Entry:
    return read_queue(runs).find({number})[0]


def epochs(runs: Path) -> int:
    file = runs / entry(runs).folder / "epochs.records"
    return len(read_records(file)["epoch"]) if file.exists() else 0


def train(runs: Path, resume: bool) -> None:
    """Train entry 1 as a process does that a supervisor has started, but draw nothing."""
    file = QueueFile(runs)
    with file.file_of(1, "lock").open("wb", buffering=0) as guard:
        assert lock(guard, LOCK_SECONDS)
        guard.write(str(os.getpid()).encode())
        one = entry(runs)
        train_in_terminal(file.experiment_of(one), runs / one.folder, Console(), resume)


def orphan(runs: Path, resume: bool) -> BaseProcess:
    """The process of entry 1, whose supervisor was killed just after it had started it."""
    process = warm.start(train, runs, resume)
    file = QueueFile(runs)
    wait(lambda: is_locked(file.file_of(1, "lock")))
    file.change(lambda queue: queue.put(replace(entry(runs), state="running", threads=0)))
    return process


@pytest.fixture
def long(tmp_path: Path) -> Experiment:
    """A run of some seconds, with a checkpoint after every step."""
    small = small_experiment(tmp_path)
    training = small.training.model_copy(update={"epochs": EPOCHS})
    return small.model_copy(update={"training": training})


def test_no_kill_and_no_pause_changes_a_bit(tmp_path: Path, long: Experiment) -> None:
    runs = tmp_path / "runs"
    (one,) = add_group(runs, "rates", long, {"optimizer.lr": [0.1]})
    folder = runs / one.folder
    process = orphan(runs, resume=False)
    supervisor = warm.start(work, runs, print)
    wait(lambda: working(runs) and epochs(runs) > 1)
    steer(runs, "pause")
    supervisor.join(timeout=60)
    process.join(timeout=60)
    assert (process.exitcode, supervisor.exitcode) == (0, 0)
    assert entry(runs).state == "paused" and 1 < epochs(runs) < EPOCHS
    # Now both are killed, as by a power failure.
    process = orphan(runs, resume=True)
    supervisor = warm.start(work, runs, print)
    wait(lambda: working(runs) and epochs(runs) > 5)
    for killed in (supervisor, process):
        killed.kill()
        killed.join()
    assert not working(runs) and epochs(runs) < EPOCHS
    assert not QueueFile(runs).file_of(1, "log").exists()
    assert work(runs, print)
    assert (entry(runs).state, entry(runs).reason) == ("finished", "")
    assert "Resuming after step" in QueueFile(runs).file_of(1, "log").read_text()
    assert json.loads((folder / "trainer.json").read_text())["program"] == "lbc queue"
    Trainer(long, tmp_path / "undisturbed").train()
    assert_same_run(folder, tmp_path / "undisturbed")


def outcome(runs: Path) -> tuple[str, str]:
    """Work the queue off in this process; return the state and reason of its entry."""
    assert work(runs, lambda sentence: None)
    one = entry(runs, 1)
    assert "\n" not in one.reason
    return one.state, one.reason


def test_an_entry_that_cannot_run_fails_with_a_sentence(
    tmp_path: Path, quick: Callable[..., Experiment], monkeypatch: pytest.MonkeyPatch
) -> None:
    for case in ("foreign", "other", "experiment", "external"):
        runs = tmp_path / case
        model = {"import": "os:abort"} if case == "external" else {"name": "mlp"}
        one = add(runs, quick(model=model))
        folder = runs / one.folder
        match case:
            case "foreign":
                folder.mkdir()
                (folder / "thesis.txt").write_text("mine")
                expected = "is not empty and holds no run of this entry"
            case "other":
                stop_at(1, quick(seed=9), folder)
                expected = "is not empty and holds no run of this entry"
            case "experiment":
                QueueFile(runs).file_of(1, "yaml").unlink()
                expected = "1.yaml: The file does not exist"
            case _:
                assert may_import(folder, quick(model=model).model)
                monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "someone else's"))
                expected = "not queued on this computer by you"
        state, reason = outcome(runs)
        assert state == "failed" and expected in reason
        assert not (folder / "model.safetensors").exists()


def test_a_run_that_was_paused_and_resumed_is_started_by_the_same_supervisor(
    tmp_path: Path, quick: Callable[..., Experiment]
) -> None:
    add(tmp_path, quick())
    file = QueueFile(tmp_path)
    supervisor = _Supervisor(file, print)
    stopped = subprocess.Popen([sys.executable, "-c", f"raise SystemExit({STOPPED})"])
    supervisor._processes[1] = stopped  # started by it, then paused by the user
    assert stopped.wait() == STOPPED
    steer(tmp_path, "pause")
    steer(tmp_path, "resume")
    supervisor.advance(lambda: None)
    assert entry(tmp_path).state == "running"
    file.file_of(1, "yaml").unlink()  # shows that it is started
    supervisor.advance(lambda: None)
    assert entry(tmp_path).state == "failed"


def test_a_run_whose_process_is_always_killed_fails(
    tmp_path: Path, quick: Callable[..., Experiment]
) -> None:
    add(tmp_path, quick())
    supervisor, kills = _Supervisor(QueueFile(tmp_path), print), 0
    for _ in ("chosen", "started"):
        supervisor.advance(lambda: None)
    while entry(tmp_path).state == "running":
        supervisor._processes[1].kill()
        supervisor._processes[1].wait()
        kills += 1
        supervisor.advance(lambda: None)
    said = f"Its process was killed {kills} times without getting further (status -9)."
    assert (entry(tmp_path).reason, kills) == (said, 5)


@pytest.mark.skipif(
    not Path(AUTOGROUP.format("self")).exists(), reason="Linux shares processors among sessions"
)
def test_processes_leave_the_processors_to_windows(tmp_path: Path, long: Experiment) -> None:
    runs, file = tmp_path / "runs", QueueFile(tmp_path / "runs")
    add_group(runs, "rates", long, {"optimizer.lr": [0.1]})
    command = [sys.executable, "-P", "-m", "lbc", "queue", "work", "--runs", str(runs)]
    supervisor = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL)
    wait(lambda: find_process(file, entry(runs))[0])
    number, _ = find_process(file, entry(runs))
    found = [niceness(supervisor.pid), niceness(number)]
    steer(runs, "cancel")
    assert supervisor.wait(60) == 0
    assert found == [(NICENESS, NICENESS)] * 2


def niceness(number: int) -> tuple[int, int]:
    """Of a process, and of the group of its session."""
    group = Path(AUTOGROUP.format(number))
    return os.getpriority(os.PRIO_PROCESS, number), int(group.read_text().split()[-1])


def test_a_finished_run_is_not_trained_again(
    tmp_path: Path, quick: Callable[..., Experiment]
) -> None:
    one = add(tmp_path, quick())
    Trainer(quick(), tmp_path / one.folder).train()
    assert outcome(tmp_path) == ("finished", "")


def test_a_run_that_fails_says_why(tmp_path: Path, quick: Callable[..., Experiment]) -> None:
    one = add(tmp_path, quick())
    stop_at(1, quick(), tmp_path / one.folder)
    (tmp_path / one.folder / "run.json").write_text("{")
    state, reason = outcome(tmp_path)
    assert state == "failed" and reason.endswith(
        "run.json is not what a run writes: it is damaged."
    )


def test_a_deleted_run_begins_anew(tmp_path: Path, quick: Callable[..., Experiment]) -> None:
    one = add(tmp_path, quick())
    (tmp_path / one.folder).mkdir()
    start, resume = "--out", "--resume"
    file = QueueFile(tmp_path)
    assert start in train_arguments(file, one)
    stop_at(1, quick(), tmp_path / one.folder)
    assert resume in train_arguments(file, one)
    shutil.rmtree(tmp_path / one.folder)
    assert start in train_arguments(file, one)


@pytest.mark.parametrize(("jobs", "limit", "threads"), [(1, "", 0), (64, "", 1), (2, "1", 1)])
def test_runs_share_the_cores(
    monkeypatch: pytest.MonkeyPatch, jobs: int, limit: str, threads: int
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", limit)
    assert threads_of(jobs) == threads


def test_a_process_of_another_computer_is_not_stopped(
    tmp_path: Path, quick: Callable[..., Experiment]
) -> None:
    add(tmp_path, quick())
    file = QueueFile(tmp_path).file_of(1, "lock")
    with file.open("wb") as guard:
        assert lock(guard)
        process = subprocess.Popen(["sleep", "60"], pass_fds=[guard.fileno()])
    file.write_text(f"{process.pid} elsewhere")
    with pytest.raises(QueueError, match="Entry 1 is trained on elsewhere: pause it there"):
        steer(tmp_path, "pause")
    assert entry(tmp_path).state == "waiting" and process.poll() is None
    file.write_text(f"{process.pid} {platform.node()}")
    assert steer(tmp_path, "pause").count("paused") == 1
    assert process.wait() == -signal.SIGTERM


def test_a_queue_that_cannot_be_read_is_reported_once(
    tmp_path: Path, quick: Callable[..., Experiment], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lbc.queue.supervisor.RETRY_SECONDS", 0.01)
    add(tmp_path, quick())
    (tmp_path / "queue.json").replace(tmp_path / "aside")
    (tmp_path / "queue.json").mkdir()
    reports: list[str] = []
    worker = threading.Thread(target=work, args=(tmp_path, reports.append))
    worker.start()
    wait(lambda: reports)
    time.sleep(0.1)

    def is_removed() -> bool:
        shutil.rmtree(tmp_path / ".queue", ignore_errors=True)  # the worker may write into it
        return not (tmp_path / ".queue").exists()

    wait(is_removed)
    worker.join()
    assert len(reports) == 1 and "Is a directory" in reports[0]


def test_one_process_works_at_a_time(
    tmp_path: Path, long: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lbc.queue.supervisor.LOCK_SECONDS", 0.1)
    runs = tmp_path / "runs"
    add(runs, long)
    steer(runs, "cancel")
    with (runs / ".queue" / "supervisor.lock").open("ab") as guard:
        assert lock(guard) and working(runs)
        assert not work(runs, lambda sentence: None)
    assert not working(runs)
