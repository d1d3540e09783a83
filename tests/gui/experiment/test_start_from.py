"""The row *Start from*: the run that is prepared has the weights of a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFileDialog, QToolButton
from pytestqt.qtbot import QtBot

from lbc.models import build
from lbc_gui.experiment.editors import FileBox
from lbc_gui.run.session import State
from lbc_gui.window.main_window import MainWindow
from tests.gui.conftest import SECONDS, small_experiment


def test_a_file_is_chosen_read_and_refused(
    use_window: Callable[..., MainWindow],
    qtbot: QtBot,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    experiment = small_experiment()
    file = tmp_path / "dense.pt"
    torch.save(build(experiment.model, (1, 28, 28), 10).state_dict(), file)
    window = use_window(experiment)
    form, log = window.experiment_panel.form, window.log
    editor = form.editor("training.weights")
    assert isinstance(editor, FileBox)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(file), ""))
    button = editor.findChild(QToolButton)
    assert button is not None
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "SHA-256" in log.toPlainText(), timeout=SECONDS)
    assert "Left over: none." in log.toPlainText() and form.changes == ("Start from: was empty",)
    file.write_bytes(b"<html>")
    qtbot.keyClicks(editor.edit, "x")
    qtbot.waitUntil(lambda: "does not exist" in window.message.text, timeout=SECONDS)
    qtbot.keyClick(editor.edit, Qt.Key.Key_Backspace)
    qtbot.waitUntil(lambda: "is a web page" in window.message.text, timeout=SECONDS)
    editor.edit.clear()
    qtbot.waitUntil(lambda: window.session.state is State.READY, timeout=SECONDS)
    assert not window.message.isVisible() and window.session.experiment == experiment
