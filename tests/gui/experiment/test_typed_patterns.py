"""An N:M in the form is what was typed, also if one that is listed begins like it."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QComboBox
from pytestqt.qtbot import QtBot

from lbc_gui.experiment.experiment_panel import ExperimentPanel


def test_what_is_typed_is_not_completed(qtbot: QtBot, panel: ExperimentPanel) -> None:
    box = panel.form.editor("pattern")
    assert isinstance(box, QComboBox)
    edit = box.lineEdit()
    assert edit is not None
    panel.show()
    panel.activateWindow()
    for typed in ("1:1", "2:1", "4:1", "2:9", "8:16x2"):
        edit.setFocus()
        qtbot.waitUntil(edit.hasFocus)
        edit.selectAll()
        qtbot.keyClicks(edit, typed)
        qtbot.keyClick(edit, Qt.Key.Key_Tab)
        assert box.currentText() == typed
    assert panel.form.document["pattern"] == "8:16x2"
    box.setEditText(" 2 : 4")
    assert panel.experiment is not None and not panel.form.changes


def test_nothing_is_said_of_an_experiment_that_is_not_valid(
    qtbot: QtBot, panel: ExperimentPanel
) -> None:
    box = panel.form.editor("pattern")
    assert isinstance(box, QComboBox) and "combinations" in panel.facts.text()
    box.setEditText("4:4")
    qtbot.waitUntil(lambda: not panel.facts.text())
    assert "keeps every weight" in panel.problem.text()
    box.setEditText("1:4")
    qtbot.waitUntil(lambda: panel.facts.text().startswith("1:4: 4 combinations"))
