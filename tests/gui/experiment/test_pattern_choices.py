"""N:M beyond powers of two, and of pairs of weights, can be chosen and are drawn."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QComboBox
from pytestqt.qtbot import QtBot

from lbc_gui.experiment.experiment_panel import ExperimentPanel


def test_patterns_beyond_powers_of_two_are_offered_and_drawn(
    qtbot: QtBot, used_panel: ExperimentPanel
) -> None:
    box = used_panel.form.editor("pattern")
    assert isinstance(box, QComboBox)
    offered = [box.itemText(at) for at in range(box.count())]
    for text, count, least in (("6:8", 28, 75), ("8:10", 45, 80), ("4:8x2", 6, 50)):
        box.setFocus()
        box.setCurrentIndex(0)
        for _ in range(offered.index(text)):
            qtbot.keyClick(box, Qt.Key.Key_Down)
        assert used_panel.experiment is not None
        assert str(used_panel.experiment.pattern) == text
        _, live = used_panel.preview._live.getOriginalDataset()
        assert (live[0], live[-1]) == (count, 1)
        _, density = used_panel.preview._least.getOriginalDataset()
        assert density[-1] == pytest.approx(least)
