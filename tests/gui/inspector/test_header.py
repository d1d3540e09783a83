"""The names of the open files above the inspected checkpoint."""

from __future__ import annotations

from pathlib import Path

from pytestqt.qtbot import QtBot

from lbc_gui.inspector.header import Header
from lbc_gui.inspector.reader_thread import Opening
from tests.gui.conftest import SECONDS


def test_the_files_of_a_comparison_are_named_in_a_narrow_window(qtbot: QtBot) -> None:
    header = Header()
    qtbot.addWidget(header)
    first, second = (Path(f"/runs/digits-{seed}/model.safetensors") for seed in "12")
    header.show_opening(Opening(first, second))
    header.resize(640, 60)
    header.show()
    said = header._files
    assert said.text() == "digits-1/model.safetensors against digits-2/model.safetensors"
    qtbot.waitUntil(lambda: said.height() >= said.heightForWidth(said.width()), timeout=SECONDS)
    assert said.width() >= said.fontMetrics().horizontalAdvance(said.text())
    header.show_opening(Opening(first, second.with_name("b.pt")))
    assert said.text() == "model.safetensors against b.pt"
