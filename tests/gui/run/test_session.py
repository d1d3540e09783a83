"""Run, pause, step, stop, reset: real threads, a real run on disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from lbc.runs.events import RemovalProgress, StepDone
from lbc.runs.records import read_records
from lbc.training import removal
from lbc_gui.run.session import State
from lbc_gui.window.main_window import MainWindow
from tests.gui.conftest import SECONDS, answer, close_window, small_experiment

Open = Callable[..., MainWindow]


def reach(qtbot: QtBot, window: MainWindow, state: State) -> None:
    qtbot.waitUntil(lambda: window.session.state is state, timeout=SECONDS)


def reach_count(qtbot: QtBot, losses: list[float], count: int) -> None:
    qtbot.waitUntil(lambda: len(losses) == count, timeout=SECONDS)


def losses_of(window: MainWindow) -> list[float]:
    losses: list[float] = []
    window.session.events_arrived.connect(
        lambda events: losses.extend(e.loss for e in events if isinstance(e, StepDone))
    )
    return losses


def only_run(tmp_path: Path) -> Path:
    (folder,) = (tmp_path / "runs").iterdir()
    return folder


def folder_of(window: MainWindow) -> Path:
    assert window.session.folder is not None
    return window.session.folder


def test_a_new_window_is_ready_with_nothing_on_disk_and_a_step_is_one_step(
    qtbot: QtBot, window: MainWindow, tmp_path: Path
) -> None:
    assert QApplication.activeWindow() is window  # no panel was a window of its own meanwhile
    reach(qtbot, window, State.READY)
    assert window.actions_.run.isEnabled()
    assert window.actions_.step.isEnabled()
    assert not window.actions_.pause.isEnabled()
    assert not (tmp_path / "runs").exists()
    losses = losses_of(window)
    for count in (1, 2, 3):
        window.actions_.step.trigger()
        reach_count(qtbot, losses, count)
    assert window.session.state is State.PAUSED
    assert window.progress.value() == 3


def test_a_run_goes_to_its_end_and_stays_on_screen_and_on_disk(
    qtbot: QtBot, use_window: Open
) -> None:
    window = use_window()
    window.actions_.run.trigger()
    reach(qtbot, window, State.FINISHED)
    folder = folder_of(window)
    state = json.loads((folder / "run.json").read_text())
    assert state["status"] == "finished"
    assert state["density"] == 0.5
    assert (folder / "model.safetensors").exists()
    assert window.progress.value() == window.progress.maximum() == 200
    assert "finished" in window.progress.format()
    assert f"Kept in {folder}" in window.log.toPlainText()
    # Looking at another layer still works: the last state is there until it is replaced.
    with qtbot.waitSignal(window.session.snapshot_arrived, timeout=SECONDS):
        layers = window.scores.list
        layers.layers.setCurrentItem(layers._entries()[1])


def test_pause_stops_training_and_run_continues_it(qtbot: QtBot, use_window: Open) -> None:
    window = use_window(small_experiment(training={"epochs": 1000, "batch_size": 50}))
    losses = losses_of(window)
    window.actions_.run.trigger()
    qtbot.waitUntil(lambda: len(losses) > 5, timeout=SECONDS)
    window.actions_.pause.trigger()
    assert window.session.state is State.PAUSED
    # At most the step under way is still finished.
    qtbot.waitUntil(lambda: window.session._thread is not None, timeout=SECONDS)
    qtbot.wait(200)
    standing = len(losses)
    qtbot.wait(300)
    assert len(losses) == standing
    window.actions_.run.trigger()
    qtbot.waitUntil(lambda: len(losses) > standing, timeout=SECONDS)


def test_reset_starts_again_from_the_same_weights(qtbot: QtBot, use_window: Open) -> None:
    window = use_window()
    losses = losses_of(window)

    def five_steps() -> list[float]:
        losses.clear()
        for count in range(1, 6):
            window.actions_.step.trigger()
            reach_count(qtbot, losses, count)
        return list(losses)

    first = five_steps()
    with qtbot.waitSignal(window.session.loaded, timeout=SECONDS):
        window.actions_.reset.trigger()
        answer(qtbot, window, "Stop and reset")
    reach(qtbot, window, State.READY)
    assert window.progress.value() == 0
    assert five_steps() == first
    assert len(set(first)) == 5


def test_stop_keeps_what_was_learned(qtbot: QtBot, use_window: Open) -> None:
    window = use_window(small_experiment(training={"epochs": 1000}, schedule={"end": 500}))
    losses = losses_of(window)
    window.actions_.run.trigger()
    qtbot.waitUntil(lambda: len(losses) > 70, timeout=SECONDS)
    window.actions_.stop.trigger()
    reach(qtbot, window, State.STOPPED)
    folder = folder_of(window)
    assert json.loads((folder / "run.json").read_text())["status"] == "stopped"
    stored = read_records(folder / "steps.records")["loss"]
    assert np.array_equal(stored, np.array(losses))
    assert (folder / "checkpoint.pt").exists()


def test_a_loss_that_diverges_is_reported_and_the_window_still_works(
    qtbot: QtBot, use_window: Open
) -> None:
    window = use_window(small_experiment(optimizer={"lr": 1e6}))
    window.actions_.run.trigger()
    reach(qtbot, window, State.FAILED)
    assert window.message.isVisible()
    assert "lower the learning rate" in window.message.text
    assert "Traceback" not in window.message.text
    assert json.loads((folder_of(window) / "run.json").read_text())["status"] == "failed"
    window.experiment_panel.show_experiment(small_experiment())
    window.actions_.reset.trigger()
    reach(qtbot, window, State.READY)
    assert not window.message.isVisible()


def test_a_data_file_that_is_cut_off_is_reported(
    qtbot: QtBot, use_window: Open, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.npz"
    np.savez(broken, images=np.zeros((20, 8, 8), np.uint8), labels=np.arange(20) % 2)
    broken.write_bytes(broken.read_bytes()[:300])
    window = use_window(small_experiment(data={"name": "npz", "file": str(broken)}))
    reach(qtbot, window, State.FAILED)
    assert "broken.npz" in window.message.text
    assert not window.actions_.pause.isEnabled()


def test_a_full_disk_pauses_the_run_until_there_is_room(qtbot: QtBot, use_window: Open) -> None:
    window = use_window()
    losses = losses_of(window)
    window.actions_.step.trigger()
    qtbot.waitUntil(lambda: len(losses) == 1, timeout=SECONDS)
    folder = folder_of(window)
    # Checkpoints are new files: a folder in the place of one refuses it like a full disk does.
    (folder / "checkpoint.pt").mkdir()
    window.actions_.run.trigger()
    qtbot.waitUntil(lambda: window.message.isVisible(), timeout=SECONDS)
    assert window.session.state is State.PAUSED
    assert "press Run to continue" in window.message.text
    (folder / "checkpoint.pt").rmdir()
    window.actions_.run.trigger()
    assert not window.message.isVisible()
    reach(qtbot, window, State.FINISHED)
    assert len(read_records(folder / "steps.records")["loss"]) == 200


def test_closing_while_training_ends_the_run_properly(
    qtbot: QtBot, open_window: Open, tmp_path: Path
) -> None:
    window = open_window(small_experiment(training={"epochs": 1000}, schedule={"end": 500}))
    losses = losses_of(window)
    window.actions_.run.trigger()
    qtbot.waitUntil(lambda: len(losses) > 3, timeout=SECONDS)
    close_window(qtbot, window)
    assert not window.session.live
    assert json.loads((only_run(tmp_path) / "run.json").read_text())["status"] == "stopped"


def test_a_long_removal_is_seen_and_can_be_stopped(
    qtbot: QtBot, use_window: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removal, "PROGRESS_SECONDS", 0.0)
    monkeypatch.setattr("lbc.sparsity.sparse_layer.CHUNK_CELLS", 1 << 18)
    window = use_window(
        small_experiment(
            model={"name": "mlp", "width": 192, "depth": 3},
            pattern="4:16",
            training={"epochs": 10, "batch_size": 4000},
        )
    )
    window.actions_.run.trigger()
    qtbot.waitUntil(lambda: "removing" in window.progress.format(), timeout=SECONDS)
    assert window.session.state is State.RUNNING
    window.actions_.stop.trigger()
    reach(qtbot, window, State.STOPPED)
    assert "removing" not in window.progress.format()
    state = json.loads((folder_of(window) / "run.json").read_text())
    assert (state["status"], state["epoch"], state["density"]) == ("stopped", 0, 1.0)


def test_a_removal_that_ends_gives_the_bar_back(qtbot: QtBot, use_window: Open) -> None:
    window = use_window(small_experiment(training={"epochs": 1000, "batch_size": 50}))
    window.actions_.run.trigger()
    reach(qtbot, window, State.RUNNING)
    window.progress.add([RemovalProgress(0.5, 0.25)])
    assert "removing 25%" in window.progress.format()
    window.progress.add([RemovalProgress(0.5, 1.0)])
    assert "removing" not in window.progress.format()
