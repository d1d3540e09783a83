"""A progress bar that does not paint the window for each of its changes."""

from __future__ import annotations

from PySide6.QtWidgets import QWidget
from pytestqt.qtbot import QtBot

from lbc_gui.widgets.layouts import column
from lbc_gui.widgets.progress_bar import ProgressBar
from tests.gui.conftest import SECONDS
from tests.gui.painted import Painted


def test_changes_are_painted_with_all_others_and_not_at_once(qtbot: QtBot) -> None:
    window, bar = QWidget(), ProgressBar()
    qtbot.addWidget(window)
    column(bar, on=window)
    with qtbot.waitExposed(window):
        window.show()
    bar.show_done(0, 100)
    qtbot.wait(50)
    painted = Painted(window), Painted(bar)
    window.update()
    for done in range(0, 100, 10):
        bar.show_done(done, 100)
    bar.show_done(70, 140)
    assert not any(of.areas for of in painted)
    qtbot.waitUntil(lambda: all(of.areas for of in painted), timeout=SECONDS)
    assert (bar.value(), bar.maximum(), bar.text()) == (70, 140, "50%")
