"""A run that another process trains is followed and commanded in the whole window."""

from __future__ import annotations

import os
import platform
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QToolBar
from pytestqt.qtbot import QtBot

from lbc.config import Experiment
from lbc.following.commands import FILE as COMMANDS
from lbc.following.commands import send
from lbc.following.trainer_file import FILE as TRAINER
from lbc.following.trainer_file import trainer_of
from lbc.following.watch import watch_files
from lbc.runs.events import Command, Intervention
from lbc.runs.interventions import read_interventions
from lbc_gui.run.following_thread import may_use_all_processors
from lbc_gui.run.session import State
from lbc_gui.window.main_window import MainWindow
from tests.following.processes import LONG, Trained
from tests.gui.conftest import SECONDS, small_experiment

if sys.platform == "win32":
    pytest.skip("needs a fork server and kill", allow_module_level=True)

Open = Callable[..., MainWindow]
MakeExperiment = Callable[..., Experiment]


@pytest.fixture
def trained(quick: MakeExperiment, tmp_path: Path) -> Iterator[Trained]:
    run = Trained(quick(**LONG), tmp_path / "followed")
    yield run
    run.kill()


def press(qtbot: QtBot, window: MainWindow, action: QAction) -> None:
    """Click the button of an action in the toolbar."""
    bar = window.findChild(QToolBar, "run_bar")
    assert isinstance(bar, QToolBar)
    button = bar.widgetForAction(action)
    qtbot.waitUntil(button.isEnabled, timeout=SECONDS)
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def shown_epoch(window: MainWindow) -> float:
    snapshot = window.scores._snapshot
    return -1.0 if snapshot is None else snapshot.epoch


def test_a_run_of_lbc_train_is_followed_as_if_it_were_the_windows_own(
    qtbot: QtBot, use_window: Open, trained: Trained
) -> None:
    window = use_window()
    session = window.session
    window.files.open_run(trained.folder)
    qtbot.waitUntil(lambda: session.state is State.RUNNING, timeout=SECONDS)
    who = f"trained by lbc train on {platform.node()}, process {trained.process.pid}"
    assert who in window.windowTitle() and who in window.progress.text()
    assert not session.training  # so nothing asks before it is left
    apply = window.experiment_panel.changes.apply
    qtbot.waitUntil(apply.isHidden, timeout=SECONDS)  # the form shows the run
    with qtbot.waitSignal(session.snapshot_arrived, timeout=SECONDS) as got:
        pass
    assert got.args[0].request.moment is None
    shown = got.args[0].epoch
    window.view_state.pin(3)
    weights: list[object] = []
    thumbnails: list[object] = []
    session.pin_weights_arrived.connect(weights.append)
    session.thumbnails_arrived.connect(thumbnails.append)
    qtbot.waitUntil(lambda: shown_epoch(window) > shown + 0.2, timeout=SECONDS)
    qtbot.waitUntil(lambda: bool(weights and thumbnails), timeout=SECONDS)
    qtbot.waitUntil(lambda: len(window.curves._series["accuracy"]) > 2, timeout=SECONDS)
    assert len(window.view_state.view.moments) > 1 and window.view_state.view.live

    press(qtbot, window, window.actions_.pause)
    qtbot.waitUntil(lambda: session.state is State.PAUSED, timeout=SECONDS)
    steps = trained.steps
    qtbot.waitUntil(lambda: window.progress.value() == steps, timeout=SECONDS)
    press(qtbot, window, window.actions_.step)
    qtbot.waitUntil(lambda: window.progress.value() == steps + 1, timeout=SECONDS)
    assert session.state is State.PAUSED and trained.steps == steps + 1

    session.intervene(Intervention("pin", trained.layer, 2, 3))
    qtbot.waitUntil(lambda: len(read_interventions(trained.folder)) == 1, timeout=SECONDS)
    qtbot.waitUntil(lambda: "was pinned in block 3" in window.log.toPlainText(), timeout=SECONDS)
    session.intervene(Intervention("pin", trained.layer, 1, 3))  # removed with the others
    qtbot.waitUntil(window.message.isVisible, timeout=SECONDS)
    assert "was removed" in window.message.text

    window.experiment_panel.form.enter("optimizer.weight_decay", 0.25)
    qtbot.waitUntil(apply.isVisible, timeout=SECONDS)
    qtbot.mouseClick(apply, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: len(read_interventions(trained.folder)) == 2, timeout=SECONDS)
    qtbot.waitUntil(apply.isHidden, timeout=SECONDS)

    press(qtbot, window, window.actions_.run)
    qtbot.waitUntil(lambda: session.state is State.RUNNING, timeout=SECONDS)
    press(qtbot, window, window.actions_.stop)
    qtbot.waitUntil(lambda: session.state is State.OPENED, timeout=SECONDS)
    assert "stopped, on disk" in window.progress.text()
    view = window.view_state.view
    assert not view.live and view.moment == len(view.moments) - 1
    assert "trained by" not in window.windowTitle()
    assert "Stopped after" in window.log.toPlainText()


def test_a_followed_run_is_killed_resumed_and_deleted_by_others(
    qtbot: QtBot, use_window: Open, trained: Trained
) -> None:
    window = use_window()
    session = window.session
    window.files.open_run(trained.folder)
    qtbot.waitUntil(lambda: len(window.curves._series["step_loss"]) > 20, timeout=SECONDS)
    trained.kill()
    qtbot.waitUntil(lambda: session.state is State.OPENED, timeout=SECONDS)
    assert "has ended without finishing the run" in window.message.text
    seen = len(window.curves._series["step_loss"])

    trained.start("--resume", trained.folder)  # from a checkpoint before the last step
    qtbot.waitUntil(lambda: session.state is State.RUNNING, timeout=SECONDS)
    qtbot.waitUntil(lambda: not window.message.isVisible(), timeout=SECONDS)
    qtbot.waitUntil(lambda: window.view_state.view.live, timeout=SECONDS)
    qtbot.waitUntil(lambda: len(window.curves._series["step_loss"]) > seen + 20, timeout=SECONDS)
    trained.pause()
    qtbot.waitUntil(lambda: session.state is State.PAUSED, timeout=SECONDS)
    qtbot.waitUntil(lambda: window.progress.value() == trained.steps, timeout=SECONDS)
    losses = trained.losses
    assert window.curves._series["step_loss"].y.tolist() == losses

    trained.kill()
    shutil.rmtree(trained.folder)
    qtbot.waitUntil(lambda: "was deleted or moved" in window.message.text, timeout=SECONDS)
    assert len(window.curves._series["step_loss"]) == len(losses)
    assert window.progress.text().endswith("· deleted")
    fork = window.timeline.fork
    qtbot.waitUntil(lambda: not fork.isEnabled(), timeout=SECONDS)
    assert "was deleted or moved" in fork.toolTip()


def test_a_program_of_another_version_is_followed_by_its_records(
    qtbot: QtBot, use_window: Open, trained: Trained
) -> None:
    trained.pause()
    file = trained.folder / TRAINER
    written = file.read_text()
    file.write_text(written.replace('"version": 1', '"version": 2'))
    window = use_window()
    window.files.open_run(trained.folder)
    qtbot.waitUntil(lambda: window.session.state is State.PAUSED, timeout=SECONDS)
    assert f"process {trained.process.pid}" in window.windowTitle()
    qtbot.waitUntil(lambda: shown_epoch(window) >= 0, timeout=SECONDS)
    view = window.view_state.view
    assert not view.live and view.moment == len(view.moments) - 1
    press(qtbot, window, window.actions_.run)
    qtbot.waitUntil(lambda: "of another version" in window.message.text, timeout=SECONDS)
    assert trained.steps == window.progress.value()

    file.write_text(written)
    qtbot.waitUntil(lambda: window.view_state.view.live, timeout=SECONDS)
    press(qtbot, window, window.actions_.run)
    qtbot.waitUntil(lambda: window.session.state is State.RUNNING, timeout=SECONDS)

    window.starting.open(small_experiment())  # does not ask, as it ends nothing
    qtbot.waitUntil(lambda: window.session.state is State.READY, timeout=SECONDS)
    assert trained.state == "running" and not list(watch_files(trained.folder))
    window.actions_.pause.trigger()
    assert trained.state == "running"


def test_a_run_folder_that_cannot_be_written_shows_what_is_recorded(
    qtbot: QtBot, use_window: Open, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "token_hex", lambda count: "0" * 2 * count)
    (trained.folder / "watch-00000000.json").mkdir()
    (trained.folder / COMMANDS).mkdir()
    window = use_window()
    window.files.open_run(trained.folder)
    qtbot.waitUntil(lambda: not window.view_state.view.live, timeout=SECONDS)
    qtbot.waitUntil(lambda: shown_epoch(window) >= 0, timeout=SECONDS)
    assert "Only recorded moments" in window.message.text
    shown = window.view_state.view.moment
    assert shown is not None
    qtbot.waitUntil(lambda: (window.view_state.view.moment or 0) > shown, timeout=SECONDS)
    press(qtbot, window, window.actions_.pause)
    qtbot.waitUntil(lambda: "could not be written" in window.message.text, timeout=SECONDS)
    assert window.session.state is State.RUNNING


COMMANDED: dict[Command, State] = {
    "pause": State.PAUSED,
    "run": State.RUNNING,
    "step": State.PAUSED,
}


def test_a_followed_run_goes_to_its_end(
    qtbot: QtBot, use_window: Open, quick: MakeExperiment, tmp_path: Path
) -> None:
    window = use_window()
    run = Trained(quick(training={"epochs": 40, "batch_size": 500}), tmp_path / "run")
    run.pause()
    window.files.open_run(run.folder)
    qtbot.waitUntil(lambda: window.session.state is State.PAUSED, timeout=SECONDS)
    press(qtbot, window, window.actions_.run)
    qtbot.waitUntil(lambda: window.session.state is State.OPENED, timeout=SECONDS)
    qtbot.waitUntil(lambda: not window.session.live, timeout=SECONDS)
    run.process.join()
    assert window.session.finished_folder == run.folder and not window.message.isVisible()
    assert "finished, on disk" in window.progress.text()
    assert window.progress.value() == window.progress.maximum() == run.steps
    assert window.curves._series["accuracy"].x[-1] == 40
    assert not list(watch_files(run.folder))


def test_the_windows_own_run_obeys_other_processes_and_says_so(
    qtbot: QtBot, use_window: Open
) -> None:
    window = use_window(small_experiment(training={"epochs": 4000, "batch_size": 200}), start=True)
    session = window.session
    qtbot.waitUntil(lambda: session.folder is not None, timeout=SECONDS)
    folder = session.folder
    trainer = trainer_of(folder) if folder is not None else None
    assert folder is not None and trainer is not None and trainer.program == "the window"
    for command, state in COMMANDED.items():
        send(folder, command, trainer.token)
        qtbot.waitUntil(lambda: session.state is state, timeout=SECONDS)  # noqa: B023
    assert window.log.toPlainText().count("by a command from another process.") == 3
    assert session.training  # it is the window's own
    send(folder, "stop", trainer.token)
    qtbot.waitUntil(lambda: session.state is State.STOPPED, timeout=SECONDS)


def test_the_window_gives_way_where_no_processor_is_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    cores = os.cpu_count() or 1
    for load, gives_way in ((cores - 1.0, False), (cores + 0.0, True)):
        monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0))  # noqa: B023
        assert may_use_all_processors(platform.node()) is gives_way
        assert not may_use_all_processors("another")
