"""The form of a run that was opened says what its changes imply, as that of a new run does."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtWidgets import QComboBox
from pytestqt.qtbot import QtBot

from lbc.runs.opened_run import open_run
from lbc_gui.run.session import State
from lbc_gui.window.main_window import MainWindow
from tests.gui.conftest import SECONDS
from tests.gui.run.test_timeline import run_to_its_end

Open = Callable[..., MainWindow]


def test_an_opened_run_is_examined_and_is_not_left_for_what_cannot_run(
    qtbot: QtBot, use_window: Open, open_window: Open
) -> None:
    folder = run_to_its_end(qtbot, use_window).session.folder
    assert folder is not None
    run = open_run(folder)
    window = open_window(run.experiment, run=run)
    panel = window.experiment_panel
    qtbot.waitUntil(lambda: len(panel.layers.plans) == 3, timeout=SECONDS)
    assert "2 sparse and 1 dense layers" in panel.facts.text()
    pattern = panel.form.editor("pattern")
    assert isinstance(pattern, QComboBox)
    pattern.setEditText("3:11")
    qtbot.waitUntil(lambda: bool(panel.refused), timeout=SECONDS)
    assert "3:11" in panel.problem.text() and not window.actions_.run.isEnabled()
    assert window.session.state is State.OPENED
