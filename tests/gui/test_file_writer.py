"""Files are written while the window stays usable, in the order in which they were asked for."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest
from PySide6.QtCore import QObject
from PySide6.QtWidgets import QLabel
from pytestqt.qtbot import QtBot

from lbc.files.resources import resource
from lbc_gui.file_writer import FileWriter
from lbc_gui.window.main_window import MainWindow
from tests.gui.conftest import SECONDS, close_window, small_experiment


@pytest.fixture
def writer(qtbot: QtBot) -> Iterator[FileWriter]:
    parent = QObject()
    writer = FileWriter(parent)
    yield writer
    qtbot.waitUntil(lambda: not writer.running, timeout=SECONDS)
    parent.deleteLater()


def slow(content: bytes, may_end: threading.Event) -> Callable[[IO[bytes]], object]:
    """Writes when it is allowed to, as to a disk that others write to."""

    def write(file: IO[bytes]) -> None:
        may_end.wait(SECONDS)
        file.write(content)

    return write


def test_the_file_that_was_asked_for_last_is_the_one_that_stays(
    qtbot: QtBot, writer: FileWriter, tmp_path: Path
) -> None:
    said: list[str] = []
    writer.said.connect(said.append)
    writer.failed.connect(lambda sentence, _: said.append(sentence))
    may_end, path, nowhere = threading.Event(), tmp_path / "a.csv", tmp_path / "no" / "a.csv"
    writer.write(path, slow(b"first", may_end))
    writer.write(nowhere, lambda file: file.write(b"second"))
    writer.write(path, lambda file: file.write(b"third"))
    qtbot.wait(200)
    assert writer.running and not said and not path.exists()
    may_end.set()
    qtbot.waitUntil(lambda: len(said) == 3 and not writer.running, timeout=SECONDS)
    assert path.read_bytes() == b"third" and [*tmp_path.iterdir()] == [path]
    problem = f"{nowhere} could not be written"
    assert [text for text in said if not text.startswith(problem)] == [f"Saved {path}."] * 2


NO_DESCRIPTOR_LEFT = """
import os, resource, sys
from pathlib import Path
from PySide6.QtCore import QCoreApplication, QObject
from lbc_gui.file_writer import FileWriter

application = QCoreApplication([])
parent = QObject()
writer = FileWriter(parent)
writer.said.connect(print)
writer.failed.connect(lambda sentence, _: print(sentence))
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
free = os.dup(0)
resource.setrlimit(resource.RLIMIT_NOFILE, (free, most))  # which closes nothing
os.close(free)
writer.write(Path(sys.argv[1]), lambda file: file.write(b"not written"))
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
writer.write(Path(sys.argv[1]), lambda file: file.write(b"written"))
while writer.running:
    application.processEvents()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits files by other means")
def test_a_file_is_written_after_one_for_which_no_thread_could_start(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    process = subprocess.run(
        [sys.executable, "-c", NO_DESCRIPTOR_LEFT, str(path)],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    failed, said = process.stdout.splitlines()
    assert "Too many open files" in failed and str(path) in failed
    assert said == f"Saved {path}." and path.read_bytes() == b"written"


def test_a_window_that_is_closed_ends_what_it_writes_first(
    qtbot: QtBot, open_window: Callable[..., MainWindow], tmp_path: Path
) -> None:
    window = open_window()
    may_end, paths = threading.Event(), [tmp_path / f"{number}.csv" for number in range(3)]
    writers = (window.files.saving, window.pages.latency.saving, window.help.saving)
    for path, writer in zip(paths, writers, strict=True):
        writer.write(path, slow(b"kept", may_end))
    window.close()
    qtbot.wait(200)
    assert window.isVisible()
    may_end.set()
    close_window(qtbot, window)
    assert [path.read_bytes() for path in paths] == [b"kept"] * 3


def shows(window: MainWindow, text: str) -> bool:
    """Whether the status bar does: the log is folded at first."""
    labels = window.statusBar().findChildren(QLabel)
    return any(label.isVisible() and label.text() == text for label in labels)


def test_the_windows_thread_never_waits_for_the_disk(
    qtbot: QtBot,
    open_window: Callable[..., MainWindow],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads: list[threading.Thread] = []
    sync = os.fsync

    def record(file: int) -> None:
        threads.append(threading.current_thread())
        sync(file)

    monkeypatch.setattr(os, "fsync", record)
    window = open_window()
    latency = window.pages.latency
    window.pages.setCurrentWidget(latency)
    latency.open_files(sorted(resource("measurements").glob("*.json"))[:1])
    folder = window.settings.path.parent
    qtbot.waitUntil(lambda: len(list(folder.glob("session-*.latency"))) == 1, timeout=SECONDS)
    names = ("experiment.yaml", "latency.json", "latency.csv", "estimates.csv", "diagnostics.zip")
    files = [tmp_path / name for name in names]
    window.files.save_experiment(small_experiment(), files[0])
    qtbot.waitUntil(lambda: shows(window, f"Saved {files[0]}."), timeout=SECONDS)
    latency.save_file(files[1])
    latency.save_file(files[2])
    latency.estimate.save_file(files[3])
    window.help.save_diagnostics(files[4])
    qtbot.waitUntil(lambda: all(file.is_file() for file in files), timeout=SECONDS)
    assert threads and threading.main_thread() not in threads


@pytest.mark.skipif(sys.platform == "win32", reason="needs links and pipes")
def test_links_stay_and_pipes_are_refused(qtbot: QtBot, writer: FileWriter, tmp_path: Path) -> None:
    said: list[str] = []
    writer.said.connect(said.append)
    writer.failed.connect(lambda sentence, _: said.append(sentence))
    real, link, pipe = (tmp_path / name for name in ("real", "link", "pipe"))
    link.symlink_to(real)
    os.mkfifo(pipe)
    for path in (link, pipe):
        writer.write(path, lambda file: file.write(b"new"))
    qtbot.waitUntil(lambda: len(said) == 2 and not writer.running, timeout=SECONDS)
    assert link.is_symlink() and real.read_bytes() == b"new" and pipe.is_fifo()
    assert set(said) == {
        f"Saved {link}.",
        f"{pipe} could not be written (it is not a regular file): choose another name.",
    }
