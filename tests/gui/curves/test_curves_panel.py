"""The curves, the progress bar and the title are those of the run on screen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFileDialog
from pytestqt.qtbot import QtBot

from lbc.training.trainer import Trainer
from lbc_gui.curves.curves_panel import CurvesPanel
from lbc_gui.run.session import State
from lbc_gui.window.main_window import MainWindow
from tests.gui.conftest import SECONDS, small_experiment

Open = Callable[..., MainWindow]


def epochs_in_view(curves: CurvesPanel) -> set[tuple[int, int]]:
    ranges = (plot.viewRange()[0] for plot in curves._plots.values())
    return {(round(low), round(high)) for low, high in ranges}


def train(folder: Path, epochs: int) -> Path:
    training = {"epochs": epochs, "batch_size": 1000}
    experiment = small_experiment(name=folder.name, training=training, schedule={"end": epochs})
    Trainer(experiment, folder).train()
    return folder


def test_curves_progress_and_title_are_those_of_the_run_on_screen(
    qtbot: QtBot, open_window: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long, short = train(tmp_path / "long", 5), train(tmp_path / "short", 2)
    window = open_window(small_experiment(training={"epochs": 3}, schedule={"end": 3}))
    assert epochs_in_view(window.curves) == {(0, 3)}
    for folder, epochs in ((long, 5), (short, 2), (long, 5)):
        monkeypatch.setattr(
            QFileDialog, "getExistingDirectory", lambda *_, folder=folder: str(folder)
        )
        both = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
        qtbot.keyClick(window, Qt.Key.Key_O, both)
        qtbot.waitUntil(lambda folder=folder: window.session.folder == folder, timeout=SECONDS)  # type: ignore[misc]
        assert window.session.state is State.OPENED
        assert epochs_in_view(window.curves) == {(0, epochs)}
        assert window.progress.text() == f"epoch {epochs}.0 of {epochs} · finished, on disk"
        assert window.progress.value() == window.progress.maximum()
        assert window.windowTitle().startswith(f"{folder.name} · ")
