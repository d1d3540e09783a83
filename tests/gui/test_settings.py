"""What is set is known at once, and the window does not wait until it is on the disk."""

from __future__ import annotations

import time
from pathlib import Path

from PySide6.QtCore import QByteArray, QLockFile, QSize, QTimer
from pytestqt.qtbot import QtBot

from lbc_gui.settings import EstimateChoice, Layout, Settings


def test_a_disk_that_does_not_answer_does_not_hold_the_window(qtbot: QtBot, tmp_path: Path) -> None:
    settings = Settings(tmp_path / "window.ini")
    lock = QLockFile(str(settings.path) + ".lock")  # for which Qt waits before it writes
    assert lock.lock()
    ticks: list[float] = []
    timer = QTimer(interval=10)
    timer.timeout.connect(lambda: ticks.append(time.monotonic()))
    timer.start()
    place = QByteArray(b"somewhere")
    layout = Layout(place, place, QSize(900, 700), ["log"], [""])
    settings.theme = "dark"
    qtbot.wait(100)  # the thread waits for the lock by now
    settings.save_layout(layout)
    settings.add_recent_file("/runs/a")
    settings.estimate = EstimateChoice(batch=3)
    assert settings.theme == "dark" and settings.layout() == layout
    assert settings.recent_files == ["/runs/a"] and settings.estimate.batch == 3
    qtbot.wait(500)
    assert len(ticks) > 10 and not settings.path.exists()
    lock.unlock()
    settings.wait()
    again = Settings(settings.path)
    assert again.theme == "dark" and again.layout() == layout
    assert again.recent_files == ["/runs/a"] and again.estimate.batch == 3


def test_a_layout_that_was_removed_does_not_come_back(tmp_path: Path) -> None:
    settings = Settings(tmp_path / "window.ini")
    place = QByteArray(b"somewhere")
    settings.save_layout(Layout(place, place, QSize(900, 700), [], []))
    settings.clear_layout()
    assert settings.layout() is None and Settings(settings.path).layout() is None
    settings.wait()
    assert "somewhere" not in settings.path.read_text()
