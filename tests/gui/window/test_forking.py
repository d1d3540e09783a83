"""A run is forked from the time slider, a block's history and its row, and trained at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QContextMenuEvent
from PySide6.QtWidgets import QApplication, QMenu, QPushButton, QToolButton, QWidget
from pytestqt.qtbot import QtBot

from lbc.files.lock import lock
from lbc.queue.commands import read_queue
from lbc.queue.queue_file import QueueFile
from lbc.queue.supervisor import train_arguments
from lbc.runs.kept_checkpoints import kept_moments
from lbc.runs.run_state import read_state
from lbc_gui.run.fork_dialog import ForkDialog
from lbc_gui.run.session import State
from lbc_gui.window.main_window import MainWindow
from tests.gui.accessibility import unnamed
from tests.gui.conftest import SECONDS, answer, small_experiment
from tests.gui.library.conftest import click

Open = Callable[..., MainWindow]
Key, LEFT = Qt.Key, Qt.MouseButton.LeftButton
EPOCHS = 6


@pytest.fixture
def window(qtbot: QtBot, use_window: Open) -> MainWindow:
    """On a run that has finished, with a checkpoint at the end of every epoch."""
    training = {"epochs": EPOCHS, "batch_size": 800}
    experiment = small_experiment(name="root", training=training, schedule={"end": 4})
    window = use_window(experiment)
    trained = sorted(window.session.runs.glob("root-*"))
    if trained:  # by the test before
        window.files.open_run(trained[0])
    else:
        window.session.run()
        qtbot.waitUntil(lambda: window.session.state is State.FINISHED, timeout=SECONDS)
    state = window.view_state
    qtbot.waitUntil(lambda: len(state.view.fork_points) == EPOCHS, timeout=SECONDS)
    qtbot.waitUntil(
        lambda: bool(state.view.moments) and state.view.moments[-1].epoch == EPOCHS, timeout=SECONDS
    )
    return window


def fork_button(window: MainWindow) -> QToolButton:
    [button] = [
        one
        for one in window.timeline.findChildren(QToolButton)
        if one.defaultAction() is window.timeline.fork
    ]
    return button


def dialog_of(qtbot: QtBot, window: MainWindow) -> ForkDialog:
    qtbot.waitUntil(lambda: bool(window.findChildren(ForkDialog)), timeout=SECONDS)
    dialog = window.findChildren(ForkDialog)[-1]
    qtbot.waitUntil(lambda: dialog.isVisible() and dialog.settled, timeout=SECONDS)
    assert unnamed(dialog) == []
    return dialog


def press(qtbot: QtBot, window: MainWindow, text: str) -> None:
    [button] = [one for one in window.message.findChildren(QPushButton) if one.text() == text]
    qtbot.mouseClick(button, LEFT)


def choose_in_menu(qtbot: QtBot, widget: QWidget, at: QPoint) -> str:
    """Right-click, choose the first command of the menu, and return its text."""
    event = QContextMenuEvent(QContextMenuEvent.Reason.Mouse, at, widget.mapToGlobal(at))
    QApplication.sendEvent(widget, event)
    menu = QApplication.activePopupWidget()
    assert isinstance(menu, QMenu)
    action = menu.actions()[0]
    text = action.text()
    menu.setActiveAction(action)
    qtbot.keyClick(menu, Key.Key_Return)
    return text


def enter(qtbot: QtBot, dialog: ForkDialog, path: str, value: object) -> None:
    dialog.form.enter(path, value)
    qtbot.waitUntil(lambda: dialog.settled, timeout=SECONDS)


def test_fork_here_trains_on_from_the_checkpoint_before_the_handle(
    qtbot: QtBot, window: MainWindow
) -> None:
    track, parent = window.timeline.track, window.session.folder
    assert parent is not None
    moments = window.view_state.view.moments
    at = next(k for k, moment in enumerate(moments) if moment.epoch > 3)
    qtbot.mouseClick(track, LEFT, pos=QPoint(round(track.x_of(at)), 15))
    assert window.view_state.view.moment == at and 3 < moments[at].epoch < 4
    qtbot.mouseClick(fork_button(window), LEFT)
    dialog = dialog_of(qtbot, window)
    assert dialog.moments.currentText().startswith("epoch 3.00 of 6")
    assert "is the control already" in dialog._about_control.text()
    assert dialog.control.isHidden()
    enter(qtbot, dialog, "pattern", "4:8")
    assert "4:8 allows masks that 2:4 does not" in dialog.problem.text()
    assert dialog.problem.text().startswith("N:M: ")
    assert "border" in dialog.form.editor("pattern").styleSheet()  # at the field, too
    assert not dialog.train.isEnabled() and not dialog.queue.isEnabled()
    enter(qtbot, dialog, "pattern", "2:4")
    assert not dialog.problem.text()
    enter(qtbot, dialog, "schedule.end", 5.5)
    before = dialog.preview._before
    assert before is not None  # drawn behind, and the same up to the moment
    assert dialog.preview._live.yData.tolist()[:4] == before.yData.tolist()[:4]
    began = time.monotonic()
    qtbot.mouseClick(dialog.train, LEFT)
    qtbot.waitUntil(lambda: window.session.forked_from is not None, timeout=SECONDS)
    seconds = time.monotonic() - began
    assert seconds < 20  # tests/performance/forks.py measures it
    folder = window.session.folder
    assert folder is not None and folder != parent and folder.parent == parent.parent
    state = read_state(folder).parent
    assert state is not None and (Path(state.folder), state.epoch) == (parent.resolve(), 3)
    assert window.experiment_panel.form.describe("schedule.end")[1] == 5.5
    qtbot.waitUntil(lambda: window.session.state is State.FINISHED, timeout=SECONDS)
    qtbot.waitUntil(lambda: "its parent with" in window.message.text, timeout=SECONDS)
    assert window.curves.fork_note.text.text() == f"Forked at epoch 3 from {parent.name}"
    press(qtbot, window, "Compare them")
    page = window.pages.library
    qtbot.waitUntil(lambda: len(page.selection.selection.selected) == 2, timeout=SECONDS)


def test_menus_of_slider_and_block_history_and_the_row_open_the_dialog(
    qtbot: QtBot, window: MainWindow
) -> None:
    track, folder = window.timeline.track, window.session.folder
    assert folder is not None
    x = round(track._x(2.4))
    assert choose_in_menu(qtbot, track, QPoint(x, 15)) == "Fork at epoch 2.00…"
    dialog = dialog_of(qtbot, window)
    assert dialog.epoch == 2
    qtbot.keyClick(dialog, Key.Key_Escape)
    assert "a checkpoint; right-click to fork here" in track.described(track._x(2))
    window.view_state.pin(5)
    window.block.tabs.setCurrentIndex(1)
    plot = window.block.life.plot
    qtbot.waitUntil(lambda: window.block.life.life is not None, timeout=SECONDS)
    box = plot._plot.vb
    qtbot.waitUntil(lambda: box.viewRange()[0][1] >= EPOCHS, timeout=SECONDS)
    plot.grab()  # lays the plot out
    scene = box.mapViewToScene(QPointF(4.6, box.viewRect().center().y()))
    said = choose_in_menu(qtbot, plot.viewport(), plot.mapFromScene(scene))
    assert said == "Fork at epoch 4.00…"
    dialog = dialog_of(qtbot, window)
    assert dialog.epoch == 4
    qtbot.keyClick(dialog, Key.Key_Escape)
    page, runs = window.pages.library, window.session.runs
    window.pages.setCurrentWidget(page)
    qtbot.waitUntil(lambda: folder in page.table.runs.arrangement.places, timeout=SECONDS)
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow, timeout=SECONDS)
    click(qtbot, page, folder.name)
    qtbot.keyClick(page.table, Key.Key_W)
    dialog = dialog_of(qtbot, window)
    assert dialog.epoch == EPOCHS - 1  # the last one with something left to train
    qtbot.keyClick(dialog.moments, Key.Key_Down)
    qtbot.waitUntil(lambda: "Nothing is left to train" in dialog.problem.text(), timeout=SECONDS)
    assert not dialog.queue.isEnabled()
    enter(qtbot, dialog, "training.epochs", 8)
    (runs / ".queue").mkdir(exist_ok=True)
    with (runs / ".queue" / "supervisor.lock").open("ab") as guard:
        assert lock(guard)  # so that the window starts no process that trains
        qtbot.mouseClick(dialog.queue, LEFT)
        qtbot.waitUntil(lambda: len(read_queue(runs).entries) == 1, timeout=SECONDS)
    [entry] = read_queue(runs).entries
    command, resume, where = train_arguments(QueueFile(runs), entry)
    assert (command, resume, Path(where).name) == ("train", "--resume", entry.folder)
    state = read_state(runs / entry.folder)
    assert state.parent is not None and state.parent.epoch == EPOCHS


def test_a_fork_of_the_run_in_training_asks_first_and_a_lost_checkpoint_says_so(
    qtbot: QtBot, use_window: Open
) -> None:
    experiment = small_experiment(
        name="long", training={"epochs": 200, "batch_size": 400}, schedule={"end": 150}
    )
    window = use_window(experiment, start=True)
    qtbot.waitUntil(lambda: len(window.view_state.view.fork_points) > 2, timeout=SECONDS)
    folder = window.session.folder
    assert folder is not None
    qtbot.mouseClick(fork_button(window), LEFT)
    dialog = dialog_of(qtbot, window)
    assert "has not finished" in dialog._about_control.text() and dialog.control.isVisible()
    enter(qtbot, dialog, "optimizer.lr", 0.01)
    qtbot.mouseClick(dialog.train, LEFT)
    asked = answer(qtbot, window, "Keep training")
    assert asked.startswith("long is training. Stop it and fork")
    assert window.session.folder == folder and window.session.state is State.RUNNING
    qtbot.mouseClick(fork_button(window), LEFT)
    dialog = dialog_of(qtbot, window)
    dialog.moments.setCurrentIndex(0)
    qtbot.waitUntil(lambda: dialog.settled, timeout=SECONDS)
    kept_moments(folder)[0].file.unlink()  # as if thinned meanwhile
    qtbot.mouseClick(dialog.train, LEFT)
    answer(qtbot, window, "Stop and fork")
    qtbot.waitUntil(lambda: "epoch" in window.message.text, timeout=SECONDS)
    assert window.session.folder == folder  # nothing is lost
