"""The queue in the window: filled from the form, shown, steered. Nothing is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt
from PySide6.QtGui import QContextMenuEvent, QDropEvent
from PySide6.QtWidgets import QApplication, QLineEdit, QMenu, QPlainTextEdit, QToolButton, QWidget
from pytestqt.qtbot import QtBot

from lbc.files.lock import lock
from lbc.queue.commands import add, add_group, read_queue, steer
from lbc_gui.experiment.vary_box import VaryBox
from lbc_gui.queue import follower
from lbc_gui.queue.queue_panel import QueuePanel
from lbc_gui.window.main_window import MainWindow
from tests.gui.conftest import SECONDS, small_experiment

Key, LEFT = Qt.Key, Qt.MouseButton.LeftButton


@pytest.fixture(autouse=True)
def changes_are_seen_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "POLL_SECONDS", 0.1)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def supervisor(runs: Path) -> Iterator[IO[bytes]]:
    """In place of the process that trains: its lock is held, so the window starts none."""
    (runs / ".queue").mkdir(parents=True)
    with (runs / ".queue" / "supervisor.lock").open("ab") as guard:
        assert lock(guard)
        yield guard


def states(window: MainWindow) -> list[tuple[int, str]]:
    return [(entry.id, entry.state) for entry in window.queue.moment.queue.entries]


def trigger(panel: QueuePanel, name: str, *ids: int) -> None:
    panel.table.choose(ids)
    assert panel._actions[name].isEnabled()
    panel._actions[name].trigger()


def open_menu(widget: QWidget) -> QMenu:
    """The menu that a right-click on a widget opens."""
    centre = widget.rect().center()
    event = QContextMenuEvent(QContextMenuEvent.Reason.Mouse, centre, widget.mapToGlobal(centre))
    QApplication.sendEvent(widget, event)
    menu = QApplication.activePopupWidget()
    assert isinstance(menu, QMenu)
    return menu


def remove_button(box: VaryBox, path: str) -> QToolButton:
    """The button beside the values of a setting."""
    field = box.values[path].parentWidget()
    assert field is not None
    (button,) = field.findChildren(QToolButton)
    return button


def vary_by_menu(qtbot: QtBot, window: MainWindow, path: str) -> VaryBox:
    edit = window.experiment_panel.form.editor(path).findChild(QLineEdit)
    assert isinstance(edit, QLineEdit)
    menu = open_menu(edit)
    qtbot.keyClick(menu, Key.Key_Down)
    qtbot.keyClick(menu, Key.Key_Return)
    return window.experiment_panel.vary


def test_the_experiment_of_the_form_is_queued_and_steered(
    qtbot: QtBot, open_window: Callable[..., MainWindow], runs: Path, supervisor: IO[bytes]
) -> None:
    window = open_window()
    qtbot.waitUntil(lambda: hasattr(window, "queue"), timeout=SECONDS)
    panel = window.queue.panel
    assert not panel.isVisible()
    window.actions_.queue.trigger()
    qtbot.waitUntil(lambda: states(window) == [(1, "waiting")], timeout=SECONDS)
    assert panel.isVisible() and panel.summary.text() == "1 waiting"
    assert "Queued 1 run." in window.log.toPlainText()
    experiment = window.experiment_panel.experiment
    assert experiment is not None
    add_group(runs, "rates", experiment, {"optimizer.lr": [0.1, 0.2]})  # from elsewhere
    qtbot.waitUntil(lambda: len(states(window)) == 3, timeout=SECONDS)
    table = panel.table.table
    assert [table.text(row, 0) for row in range(3)] == ["", "rates · 0 of 2", ""]
    assert [table.text(row, 1) for row in range(3)] == [
        "small",
        "optimizer.lr=0.1",
        "optimizer.lr=0.2",
    ]

    trigger(panel, "top", 3)
    qtbot.waitUntil(lambda: states(window)[0][0] == 3, timeout=SECONDS)
    assert panel.table.chosen_ids == [3]  # it is still chosen where it is now
    trigger(panel, "pause", 2)
    qtbot.waitUntil(lambda: (2, "paused") in states(window), timeout=SECONDS)
    trigger(panel, "cancel", 1, 3)
    qtbot.waitUntil(
        lambda: states(window) == [(3, "cancelled"), (1, "cancelled"), (2, "paused")],
        timeout=SECONDS,
    )
    assert window.message.text == "The queue has ended: 1 paused, 2 cancelled."
    trigger(panel, "retry", 3)
    qtbot.waitUntil(lambda: (3, "waiting") in states(window), timeout=SECONDS)
    trigger(panel, "clear")
    qtbot.waitUntil(lambda: states(window) == [(3, "waiting"), (2, "paused")], timeout=SECONDS)
    panel.jobs.setFocus()
    panel.jobs.selectAll()
    qtbot.keyClicks(panel.jobs, "4")
    qtbot.keyClick(panel.jobs, Key.Key_Return)
    qtbot.waitUntil(lambda: read_queue(runs).jobs == 4, timeout=SECONDS)
    window._dock_layout._log_title.fold(True)
    assert not panel.isVisible()
    window.actions_.queue.trigger()
    qtbot.waitUntil(panel.isVisible, timeout=SECONDS)

    assert panel.start.isHidden()
    supervisor.close()  # the process that trained was killed
    qtbot.waitUntil(panel.start.isVisible, timeout=SECONDS)


def test_rows_are_dragged_to_another_place(
    qtbot: QtBot, open_window: Callable[..., MainWindow], runs: Path, supervisor: IO[bytes]
) -> None:
    for seed in range(3):
        add(runs, small_experiment(seed=seed))
    window = open_window()
    qtbot.waitUntil(lambda: hasattr(window, "queue") and len(states(window)) == 3, timeout=SECONDS)
    table = window.queue.panel.table
    assert not table.isVisible()  # the log keeps its place until the user chooses the queue
    table.choose([3])
    top = QPointF(table.visualRect(table.model().index(0, 0)).topLeft() + QPoint(5, 1))
    drop = QDropEvent(
        top, Qt.DropAction.MoveAction, QMimeData(), LEFT, Qt.KeyboardModifier.NoModifier
    )
    table.dropEvent(drop)
    qtbot.waitUntil(lambda: [one for one, _ in states(window)] == [3, 1, 2], timeout=SECONDS)
    # What is asked for just before the window closes is done.
    window.actions_.queue.trigger()
    window.closing.start()
    qtbot.waitUntil(lambda: not window.isVisible(), timeout=SECONDS)
    assert [entry.id for entry in read_queue(runs).entries] == [3, 1, 2, 4]


def test_settings_are_varied_from_their_menus(
    qtbot: QtBot, open_window: Callable[..., MainWindow], runs: Path, supervisor: IO[bytes]
) -> None:
    window = open_window()
    qtbot.waitUntil(lambda: hasattr(window, "queue"), timeout=SECONDS)
    form = window.experiment_panel.form
    window.pages.tabBar().setFocus()
    form.menu.vary.trigger()
    assert "Click a setting of the experiment first" in window.message.text
    form.editor("schedule.end").setFocus()
    form.menu.vary.trigger()
    assert not window.message.isVisible()
    box = window.experiment_panel.vary
    edit = box.values["schedule.end"]
    assert edit.hasFocus() and edit.text() == "6" and box.queue.text() == "Queue 1 run"
    qtbot.keyClicks(edit, "4, 5..7")
    assert box.queue.text() == "Queue 4 runs"
    qtbot.keyClicks(edit, ", ]")
    assert not box.queue.isEnabled() and "is not a list of values" in box.problem.text()
    edit.setText("4, 99")

    assert vary_by_menu(qtbot, window, "optimizer.lr") is box
    qtbot.keyClicks(box.values["optimizer.lr"], "0.1..0.3/3")
    qtbot.keyClick(box.values["optimizer.lr"], Key.Key_Tab)
    assert box.seeds.hasFocus()
    qtbot.keyClicks(box.seeds, "2")
    assert box.queue.text() == "Queue 12 runs"
    qtbot.keyClick(box.seeds, Key.Key_Return)
    qtbot.waitUntil(lambda: "Removal ends at epoch 99" in box.problem.text(), timeout=SECONDS)
    assert not read_queue(runs).entries
    edit.setText("4, 5")
    qtbot.keyClick(edit, Key.Key_Return)
    qtbot.waitUntil(lambda: len(states(window)) == 12, timeout=SECONDS)
    assert box.isHidden() and not box.values
    entry = read_queue(runs).entries[0]
    assert entry.group == "small: schedule.end, optimizer.lr"
    assert entry.varied == "schedule.end=4, optimizer.lr=0.1, seed=0"

    vary_by_menu(qtbot, window, "seed")
    form.enter("pattern", "5:4")
    assert not box.queue.isEnabled()
    for path, text in (
        ("data.augment.flip", "false, true"),
        ("pattern", "5:4"),
        ("optimizer.weight_decay", "0.0001"),
        ("model.kwargs", "{}"),
    ):
        form.menu.vary_requested.emit(path)
        assert box.values[path].text() == text
        remove = remove_button(box, path)
        qtbot.mouseClick(remove, Qt.MouseButton.LeftButton)
        qtbot.mouseClick(remove, Qt.MouseButton.LeftButton)  # which is still there in this turn
        assert path not in box.values and box.isVisible()
    qtbot.keyClick(box.values["seed"], Key.Key_Escape)
    assert box.isHidden()
    form.enter("model.name", "import")
    arguments = form.editor("model.kwargs")
    assert isinstance(arguments, QPlainTextEdit)
    menu = open_menu(arguments.viewport())
    assert menu.actions()[0].text() == "Vary…" and len(menu.actions()) > 5
    menu.close()
    steer(runs, "cancel")


def test_a_damaged_or_forbidden_queue_is_one_sentence_in_its_panel(
    qtbot: QtBot, open_window: Callable[..., MainWindow], runs: Path, supervisor: IO[bytes]
) -> None:
    add(runs, small_experiment())
    (runs / "queue.json").write_text('{"version": 1, "jobs')
    window = open_window()
    qtbot.waitUntil(lambda: hasattr(window, "queue") and bool(states(window)), timeout=SECONDS)
    assert "damaged, cut off or of a newer version" in window.queue.panel.notice.text()
    (runs / "queue.json").unlink()
    (runs / "queue.json").mkdir()
    qtbot.waitUntil(lambda: "cannot be read" in window.message.text, timeout=SECONDS)
    assert len(states(window)) == 1
