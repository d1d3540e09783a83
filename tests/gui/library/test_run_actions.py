"""The rows of the table act on the rest of the window."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QPushButton
from pytestqt.qtbot import QtBot

from lbc.files.lock import lock
from lbc.queue.commands import read_queue
from lbc.queue.queue_file import QueueFile
from lbc_gui.library.library_page import LibraryPage
from lbc_gui.run.session import State
from lbc_gui.window.main_window import MainWindow
from tests.gui.conftest import SECONDS
from tests.gui.library.conftest import LEFT, click, texts, until_titles
from tests.library.run_folders import write_run

Key = Qt.Key
SHIFT = Qt.KeyboardModifier.ShiftModifier


def show_page(qtbot: QtBot, window: MainWindow) -> LibraryPage:
    page = window.pages.library
    window.pages.setCurrentWidget(page)
    qtbot.waitUntil(lambda: page.reader.frame is not None, timeout=SECONDS)
    return page


def test_a_run_trained_here_appears_at_once_and_its_row_acts(
    qtbot: QtBot, window: MainWindow, tmp_path: Path
) -> None:
    page = show_page(qtbot, window)
    assert page.empty.isVisible()
    commands = page.table.commands.actions_
    assert [name for name, action in commands.items() if action.isEnabled()] == ["copy"]
    window.actions_.run.trigger()
    qtbot.waitUntil(lambda: len(texts(page)) == 1, timeout=SECONDS)
    qtbot.waitUntil(lambda: window.session.state is State.FINISHED, timeout=SECONDS)
    qtbot.waitUntil(lambda: texts(page, "status") == ["finished"], timeout=SECONDS)
    [title] = texts(page)
    click(qtbot, page, title)
    assert not page.table.commands.actions_["resume"].isEnabled()
    form = window.experiment_panel.form
    form.enter("optimizer.lr", 0.02)
    form.enter("seed", 5)
    qtbot.keyClick(page.table, Key.Key_F, SHIFT)
    assert {change.split(":")[0] for change in form.changes} == {"Learning rate", "Seed"}
    qtbot.keyClick(page.table, Key.Key_F)
    assert form.experiment is not None and form.experiment.seed == 0 and not form.changes
    form.history.undo.trigger()
    assert form.experiment.seed == 5
    qtbot.keyClick(page.table, Key.Key_Return)
    qtbot.waitUntil(lambda: window.session.state is State.OPENED, timeout=SECONDS)
    folder = page.table.chosen_runs[0].folder
    assert window.session.folder == folder
    assert window.pages.currentIndex() == 0
    layer = window.view_state.view.layers[-1].name
    page.comparison.masks_requested.emit(folder, folder, layer)  # as a cell of the matrix does
    masks = window.pages.masks
    qtbot.waitUntil(lambda: window.pages.currentWidget() is masks, timeout=SECONDS)
    assert masks.compare.against == folder and window.view_state.view.layer == layer


def test_opening_a_run_that_cannot_be_read_says_why(
    qtbot: QtBot, window: MainWindow, tmp_path: Path
) -> None:
    bad = write_run(tmp_path / "runs" / "bad")
    (bad / "run.json").write_text("")
    page = show_page(qtbot, window)
    qtbot.waitUntil(lambda: texts(page) == ["bad"], timeout=SECONDS)
    click(qtbot, page, "bad")
    qtbot.keyClick(page.table, Key.Key_Return)
    assert window.message.isVisible()
    assert f"{bad / 'run.json'} is not what a run writes" in window.message.text
    assert window.pages.currentWidget() is page


def test_another_seed_is_queued_and_a_variation_prepared(
    qtbot: QtBot, window: MainWindow, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    for seed in (0, 3):
        write_run(runs / f"run-{seed}", {"name": "quick", "seed": seed})
    page = show_page(qtbot, window)
    qtbot.waitUntil(lambda: len(texts(page)) == 2, timeout=SECONDS)
    click(qtbot, page, "run-0")
    (runs / ".queue").mkdir()
    with (runs / ".queue" / "supervisor.lock").open("ab") as guard:
        assert lock(guard)  # so that the window starts no process that trains
        for _ in range(2):
            qtbot.keyClick(page.table, Key.Key_R, SHIFT)
        qtbot.waitUntil(lambda: len(read_queue(runs).entries) == 2, timeout=SECONDS)
        qtbot.waitUntil(lambda: window.queue.moment.queue.count("waiting") == 2, timeout=SECONDS)
    queued = map(QueueFile(runs).experiment_of, read_queue(runs).entries)
    assert [experiment.seed for experiment in queued] == [4, 5]  # none twice
    click(qtbot, page, "run-0")
    qtbot.keyClick(page.table, Key.Key_V)
    panel = window.experiment_panel
    assert list(panel.vary.values) == ["optimizer.lr"] and panel.vary.isVisible()


def test_deleted_runs_are_put_back_from_the_message_bar(
    qtbot: QtBot, window: MainWindow, tmp_path: Path
) -> None:
    for name in ("first", "second"):
        write_run(tmp_path / "runs" / name)
    page = show_page(qtbot, window)
    qtbot.waitUntil(lambda: len(texts(page)) == 2, timeout=SECONDS)
    for name in ("first", "second"):
        click(qtbot, page, name)
        qtbot.keyClick(page.table, Key.Key_A)
        qtbot.waitUntil(lambda name=name: name in window.message.text, timeout=SECONDS)  # type: ignore[misc]
    qtbot.waitUntil(page.empty.isVisible, timeout=SECONDS)
    [undo] = [one for one in window.message.findChildren(QPushButton) if one.text() == "Undo"]
    qtbot.mouseClick(undo, LEFT)
    until_titles(qtbot, page, "second")  # the last one, not the first
