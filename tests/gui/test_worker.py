"""Threads of the window: what a low priority means to the processors."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from weakref import getweakrefcount

import pytest
from PySide6.QtCore import QObject, QThread
from pytestqt.qtbot import QtBot

from lbc_gui.worker import NICENESS, Failed, Job, Worker
from tests.gui.conftest import SECONDS


class Measurement(Worker):
    def work(self) -> None:
        of_another: list[int] = []
        thread = threading.Thread(target=lambda: of_another.append(niceness()))
        thread.start()
        thread.join()
        self.post((niceness(), *of_another))

    def failure(self, error: Exception) -> Failed:
        return Failed(str(error))


def niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


def measured(qtbot: QtBot, parent: QObject, priority: QThread.Priority) -> tuple[int, int]:
    worker = Measurement(parent)
    with qtbot.waitSignal(worker.arrived, timeout=SECONDS) as arrived:
        worker.launch(priority)
    assert arrived.args is not None
    return arrived.args[0][0]  # type: ignore[no-any-return]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere Qt sets the priority")
def test_a_thread_of_low_priority_gives_way_to_the_window(qtbot: QtBot) -> None:
    parent, before = QObject(), niceness()
    low = max(NICENESS, before)
    assert measured(qtbot, parent, QThread.Priority.LowPriority) == (low, low)
    assert measured(qtbot, parent, QThread.Priority.InheritPriority) == (before, before)
    assert niceness() == before


FULL = """
import os, resource
from PySide6.QtCore import QCoreApplication
from tests.gui.test_worker import Following

application = QCoreApplication([])
job = Following()
job.failed.connect(lambda sentence, _: print(sentence))
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
free = os.dup(0)
resource.setrlimit(resource.RLIMIT_NOFILE, (free, most))  # which closes nothing
os.close(free)
job.start()
while job.running:
    application.processEvents()
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
job.left = 1
job.start()
while job.running:
    application.processEvents()
print("usable")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits files by other means")
def test_a_process_that_can_open_no_file_stays_and_says_so() -> None:
    process = subprocess.run(
        [sys.executable, "-c", FULL], capture_output=True, text=True, check=True
    )
    *said, last = process.stdout.splitlines()
    assert last == "usable" and said and all("Too many open files" in one for one in said)


class Following(Job):
    """Starts the next worker when one has ended."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 20

    def start(self) -> None:
        self._launch(Measurement(self))

    def _worker_ended(self, worker: Worker) -> None:
        assert isinstance(worker, Measurement)
        self.left -= 1
        if self.left:
            self.start()


def test_nothing_is_left_of_workers_that_have_ended(qtbot: QtBot) -> None:
    job = Following()
    before = getweakrefcount(job)
    job.start()
    qtbot.waitUntil(lambda: not job.left, timeout=SECONDS)
    assert getweakrefcount(job) <= before + 1
