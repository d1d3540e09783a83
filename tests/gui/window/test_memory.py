"""Memory of the window over many runs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QToolBar
from pytestqt.qtbot import QtBot

from lbc_gui.run.session import State
from lbc_gui.window.main_window import MainWindow
from tests.gui.conftest import SECONDS


def own_megabytes() -> float:
    """Resident memory of this process that no file backs."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon"))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_resets_leave_nothing_of_the_runs_before(qtbot: QtBot, window: MainWindow) -> None:
    button = window.findChildren(QToolBar, "run_bar")[0].widgetForAction(window.actions_.reset)

    def reset() -> None:
        with qtbot.waitSignal(window.session.loaded, timeout=SECONDS):
            qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
        qtbot.waitUntil(lambda: window.session.state is State.READY, timeout=SECONDS)

    def grown() -> float:
        before = own_megabytes()
        for _ in range(8):
            reset()
        return own_megabytes() - before

    # The allocator takes new memory now and then, but what a run leaves behind grows in each round.
    assert any(grown() < 4 for _ in range(5))
