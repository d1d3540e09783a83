"""The window finds the run that was cut off, offers to go on with it, and does so exactly."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFileDialog, QMessageBox, QPushButton
from pytestqt.qtbot import QtBot

from lbc.runs.events import Event, StepDone
from lbc.runs.records import read_records
from lbc.training.control import Control
from lbc.training.trainer import Trainer
from lbc_gui.run.session import State
from lbc_gui.theme import colours
from lbc_gui.widgets.message_bar import MessageBar
from lbc_gui.window.main_window import MainWindow
from tests.gui.conftest import SECONDS, close_window, small_experiment

Open = Callable[..., MainWindow]


def cut_off(folder: Path, status: str = "running", step: int = 50, **changes: object) -> None:
    """A run, by default of 200 steps, as it is left when its process is killed."""
    control = Control()

    def see(event: Event) -> None:
        if isinstance(event, StepDone) and event.step == step:
            control.stop()

    Trainer(small_experiment(seed=3, **changes), folder, control, see).train()
    state = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(state | {"status": status}))


def button(bar: MessageBar, text: str) -> QPushButton:
    (found,) = (b for b in bar.findChildren(QPushButton) if b.text() == text and b.isVisible())
    return found


def test_an_unfinished_run_is_offered_and_trained_to_its_exact_end(
    qtbot: QtBot, open_window: Open, tmp_path: Path
) -> None:
    Trainer(small_experiment(seed=3), tmp_path / "expected").train()
    run = tmp_path / "runs" / "earlier"
    cut_off(run)
    window = open_window()
    assert window.message.text == "The run earlier was cut off after 2 of 10 epochs."
    assert colours().error not in window.message.styleSheet()  # nothing went wrong
    qtbot.mouseClick(button(window.message, "Resume"), Qt.MouseButton.LeftButton)
    assert not window.message.isVisible()
    qtbot.waitUntil(lambda: window.session.experiment == small_experiment(seed=3), timeout=SECONDS)
    qtbot.waitUntil(lambda: window.session.state is State.FINISHED, timeout=SECONDS)
    assert window.experiment_panel.experiment == small_experiment(seed=3)
    expected = tmp_path / "expected"
    for name in ("model.safetensors", "scores.history"):
        assert (run / name).read_bytes() == (expected / name).read_bytes()
    assert len(window.curves._series["step_loss"]) == 200
    assert window.curves._series["accuracy"].x.tolist() == list(range(1, 11))
    assert window.progress.value() == 200
    assert "after 50 steps" in window.log.toPlainText()
    assert [folder.name for folder in (tmp_path / "runs").iterdir()] == ["earlier"]


def test_an_offer_that_was_declined_is_not_made_again(
    qtbot: QtBot, open_window: Open, tmp_path: Path
) -> None:
    cut_off(tmp_path / "runs" / "earlier", "stopped", step=1)
    first = open_window()
    assert "was stopped after 0 of 10 epochs" in first.message.text
    qtbot.mouseClick(button(first.message, "Dismiss"), Qt.MouseButton.LeftButton)
    close_window(qtbot, first)
    assert not open_window().message.isVisible()


def test_a_run_is_resumed_from_any_folder(
    qtbot: QtBot, use_window: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off(tmp_path / "elsewhere", "failed", step=190)
    window = use_window()
    assert not window.message.isVisible()
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path / "elsewhere"))
    window.actions_.resume.trigger()
    qtbot.waitUntil(lambda: window.session.state is State.FINISHED, timeout=SECONDS)
    steps = read_records(tmp_path / "elsewhere" / "steps.records")["step"]
    assert steps.tolist() == list(range(1, 201))
    window.actions_.resume.trigger()
    assert "is finished (10 epochs)" in window.message.text
    assert not window.message.offering


def test_a_folder_without_a_run_is_reported(use_window: Open, tmp_path: Path) -> None:
    window = use_window()
    window.starting.resume(tmp_path)
    assert "holds no run" in window.message.text
    assert window.session.state is State.READY


def test_the_code_of_another_s_run_is_run_only_after_a_question(
    qtbot: QtBot, use_window: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = "from torch import nn\nfrom pathlib import Path\nPath('imported').touch()\n"
    make = "nn.Sequential(nn.Flatten(), nn.Linear(784, 16), nn.Linear(16, 16), nn.Linear(16, 10))"
    (tmp_path / "received.py").write_text(f"{module}def make():\n    return {make}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "received", raising=False)
    run = tmp_path / "runs" / "earlier"
    short: dict[str, Any] = {
        "model": {"import": "received:make"},
        "training": {"epochs": 3, "batch_size": 200},
        "schedule": {"end": 2},
    }
    cut_off(run, **short)
    window = use_window()
    window.starting.resume(run)
    qtbot.waitUntil(lambda: window.session.state is State.FINISHED, timeout=SECONDS)
    shutil.rmtree(run)
    cut_off(run, **short)
    monkeypatch.delitem(sys.modules, "received")
    (tmp_path / "imported").unlink()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state of another"))
    use_window()

    def choose(answer: str) -> None:
        window.starting.resume(run)
        (box,) = window.findChildren(QMessageBox)
        assert "received:make" in box.text() and box.textFormat() is Qt.TextFormat.PlainText
        assert window.session.folder is None and not (tmp_path / "imported").exists()
        (chosen,) = (one for one in box.buttons() if one.text().replace("&", "") == answer)
        qtbot.mouseClick(chosen, Qt.MouseButton.LeftButton)

    choose("Cancel")
    qtbot.wait(300)
    assert window.session.folder is None and not (tmp_path / "imported").exists()
    choose("Run the code and resume")
    qtbot.waitUntil(lambda: window.session.state is State.FINISHED, timeout=SECONDS)


def test_runs_that_cannot_be_read_are_logged_and_the_one_before_offered(
    open_window: Open, tmp_path: Path
) -> None:
    cut_off(tmp_path / "runs" / "earlier", step=1)
    os.utime(tmp_path / "runs" / "earlier" / "run.json", (0, 0))
    contents = ('{"status": []}', "[" * 100_000, "\0\xff", None)
    states = [tmp_path / "runs" / f"bad {number}" / "run.json" for number in range(4)]
    for state, content in zip(states, contents, strict=True):
        state.parent.mkdir()
        (state.parent / "experiment.yaml").touch()
        if content is None:
            state.mkdir()
        else:
            state.write_text(content)
    window = open_window()
    assert window.session.state is State.READY
    assert "The run earlier was cut off" in window.message.text
    for state in states:
        assert str(state) in window.log.toPlainText()


def test_a_damaged_checkpoint_is_reported_and_kept(
    qtbot: QtBot, use_window: Open, tmp_path: Path
) -> None:
    run = tmp_path / "runs" / "earlier"
    cut_off(run, step=1)
    damaged = (run / "checkpoint.pt").read_bytes()[:2000]
    (run / "checkpoint.pt").write_bytes(damaged)
    window = use_window()
    window.starting.resume(run)
    qtbot.waitUntil(lambda: window.session.state is State.FAILED, timeout=SECONDS)
    assert "checkpoint.pt is truncated" in window.message.text
    assert (run / "checkpoint.pt").read_bytes() == damaged
    assert len(read_records(run / "steps.records")["step"]) == 1
