"""Ctrl-C in the terminal ends the window: with a question while a run trains, and then at once."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from lbc.config import dump_experiment
from lbc.runs.records import read_records
from lbc.runs.run_state import read_state
from lbc_gui.settings import Settings
from lbc_gui.window.main_window import MainWindow
from tests import warm
from tests.gui.conftest import SECONDS, small_experiment

if sys.platform != "linux":
    pytest.skip("sends SIGINT to a process, and sees its threads in /proc", allow_module_level=True)


def gui(*arguments: object) -> None:
    from lbc_gui.app import main

    sys.exit(main([str(each) for each in arguments]))


def start(folder: Path, *more: str) -> tuple[BaseProcess, Path]:
    """A window whose run of the small experiment is long, and the folder of its runs."""
    file = folder / "small.yaml"
    training = {"epochs": 2000, "batch_size": 200}
    file.write_text(dump_experiment(small_experiment(training=training)))
    arguments = (file, "--runs", folder / "runs", *more)
    process = warm.start(gui, *arguments, output=folder / "printed")
    return process, folder / "runs"


def send(process: BaseProcess, number: int) -> None:
    assert process.pid is not None
    os.kill(process.pid, number)


def wait(process: BaseProcess, condition: Callable[[], object]) -> None:
    end = time.monotonic() + 90
    while not condition():
        assert process.is_alive() and time.monotonic() < end
        time.sleep(0.02)


def checkpoint(runs: Path, process: BaseProcess) -> Path:
    """Wait for the first checkpoint of the only run."""
    wait(process, lambda: list(runs.glob("*/checkpoint.pt")))
    return next(runs.glob("*/checkpoint.pt"))


def wait_until_idle(process: BaseProcess) -> None:
    """Wait until the window is open and all threads sleep, ten times in a row."""
    asleep = 0

    def idle() -> bool:
        nonlocal asleep
        states: list[str] = []
        with suppress(OSError):  # a thread has ended
            stats = Path(f"/proc/{process.pid}/task").glob("*/stat")
            states.extend(stat.read_text().rpartition(")")[2].split()[0] for stat in stats)
        asleep = asleep + 1 if len(states) > 2 and set(states) == {"S"} else 0
        return asleep == 10

    wait(process, idle)


def trained(run: Path) -> int:
    return len(read_records(run / "steps.records")["step"])


def ended(process: BaseProcess, folder: Path) -> bool:
    process.join(timeout=60)
    assert "Traceback" not in (folder / "printed").read_text()
    return process.exitcode == 130


def test_an_idle_window_closes(tmp_path: Path) -> None:
    numbers = (signal.SIGINT, signal.SIGTERM)
    folders = [tmp_path / number.name for number in numbers]
    for folder in folders:
        folder.mkdir()
    processes = [start(folder)[0] for folder in folders]
    for process, number in zip(processes, numbers, strict=True):
        wait_until_idle(process)
        send(process, number)
    assert all(map(ended, processes, folders))


def test_a_run_continues_until_the_question_is_answered_and_a_second_signal_ends_it(
    tmp_path: Path,
) -> None:
    process, runs = start(tmp_path, "--start")
    run = checkpoint(runs, process).parent
    send(process, signal.SIGINT)
    steps = trained(run)
    wait(process, lambda: trained(run) > steps + 50)
    send(process, signal.SIGINT)
    assert ended(process, tmp_path)
    assert read_state(run).status == "running"  # killed, and can be resumed


def test_a_run_is_stopped_and_saved_by_sigterm(tmp_path: Path) -> None:
    process, runs = start(tmp_path, "--start")
    run = checkpoint(runs, process).parent
    send(process, signal.SIGTERM)
    assert ended(process, tmp_path)
    assert read_state(run).status == "stopped"


def test_a_window_that_is_closed_before_it_is_complete_stays_closed(
    qtbot: QtBot, tmp_path: Path, settings: Settings
) -> None:
    window = MainWindow(small_experiment(), tmp_path / "runs", settings)
    window.show()
    window.begin()
    window.closing.start()
    qtbot.waitUntil(lambda: not window.isVisible(), timeout=SECONDS)
    qtbot.wait(300)
    assert not window.session.live
    window.deleteLater()
