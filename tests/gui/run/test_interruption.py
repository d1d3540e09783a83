"""No command ends a run that is training without the question that closing asks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFileDialog, QMessageBox, QToolButton
from pytestqt.qtbot import QtBot

from lbc.config import Experiment, dump_experiment
from lbc_gui.run.session import State
from lbc_gui.window.main_window import MainWindow
from tests.gui.conftest import SECONDS, answer, small_experiment
from tests.gui.run.test_resumption import cut_off

Open = Callable[..., MainWindow]
LONG = small_experiment(training={"epochs": 1000}, schedule={"end": 500})


def press(qtbot: QtBot, window: MainWindow, text: str) -> None:
    shown = (b for b in window.findChildren(QToolButton) if b.isVisible())
    (button,) = (b for b in shown if b.text() == text)
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def begin(qtbot: QtBot, window: MainWindow) -> Path:
    press(qtbot, window, "Run")
    qtbot.waitUntil(lambda: window.session.folder is not None, timeout=SECONDS)
    assert window.session.folder is not None
    return window.session.folder


def test_every_command_that_would_end_the_run_asks_first(
    qtbot: QtBot, open_window: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, window = tmp_path / "other", open_window(LONG)
    cut_off(other, step=1)
    file = tmp_path / "else.yaml"
    file.write_text(dump_experiment(small_experiment(name="else")))
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(other))
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(file), ""))
    actions = window.actions_
    (digits,) = (a for a in actions.examples.actions() if a.text() == "digits")
    folder = begin(qtbot, window)
    commands: tuple[tuple[str, str, Callable[[], object]], ...] = (
        ("open", "else", actions.open.trigger),
        ("open", "digits", digits.trigger),
        ("open", "other", actions.open_run.trigger),
        ("resume", "other", actions.resume.trigger),
        ("reset", "to the start", actions.reset.trigger),
        ("reset", "to the start", lambda: press(qtbot, window, "Reset")),
        ("close", "the window", window.close),
    )
    for verb, what, command in commands:
        command()
        said = answer(qtbot, window, "Keep training")
        assert said == f"small is training. Stop it and {verb} {what}?"
        assert (window.session.state, window.session.folder) == (State.RUNNING, folder)
        assert window.experiment_panel.experiment == LONG
    press(qtbot, window, "Pause")  # a run that is paused would be ended too
    press(qtbot, window, "Reset")
    answer(qtbot, window, "Stop and reset")
    qtbot.waitUntil(lambda: window.session.state is State.READY, timeout=SECONDS)
    actions.open.trigger()  # no run is training now
    assert not window.findChildren(QMessageBox)
    shown: Experiment | None = window.experiment_panel.experiment
    assert shown is not None and shown.name == "else"
