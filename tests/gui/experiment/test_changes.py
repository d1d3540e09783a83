"""What was changed in the form: seen, taken back, done again, run, applied, and found."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QApplication, QCheckBox, QComboBox, QLineEdit, QWidget
from pytestqt.qtbot import QtBot

from lbc.runs.effective_experiment import effective_experiment
from lbc.runs.interventions import read_interventions
from lbc.runs.records import read_records
from lbc_gui.experiment.experiment_panel import ExperimentPanel
from lbc_gui.experiment.layer_table import LayerTable
from lbc_gui.run.session import State
from lbc_gui.theme import apply_theme
from lbc_gui.window.main_window import MainWindow
from tests.gui.conftest import SECONDS, answer, small_experiment

Open = Callable[..., MainWindow]
CONTROL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
LEFT = Qt.MouseButton.LeftButton


def focused(qtbot: QtBot, window: MainWindow, path: str) -> QWidget:
    """The editor of a setting, after a click into it."""
    editor = window.experiment_panel.form.editor(path)
    inner = editor.findChild(QLineEdit) or editor
    qtbot.mouseClick(inner, LEFT)
    editor.setFocus()
    return editor


def type_over(qtbot: QtBot, window: MainWindow, path: str, text: str) -> None:
    editor = focused(qtbot, window, path)
    qtbot.keyClick(editor, Qt.Key.Key_A, CONTROL)
    qtbot.keyClicks(editor, text)


def undo(qtbot: QtBot, window: MainWindow) -> None:
    qtbot.keyClick(QApplication.focusWidget() or window, Qt.Key.Key_Z, CONTROL)


def redo(qtbot: QtBot, window: MainWindow) -> None:
    qtbot.keyClick(QApplication.focusWidget() or window, Qt.Key.Key_Z, CONTROL | SHIFT)


def said(panel: ExperimentPanel) -> str:
    return panel.changes.label.text()


def shown(panel: ExperimentPanel) -> list[str]:
    return [path for path in panel.form._rows if not panel.form.editor(path).isHidden()]


@pytest.fixture
def window(use_window: Open, qtbot: QtBot) -> MainWindow:
    window = use_window()
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow, timeout=SECONDS)
    return window


def test_changes_are_tinted_counted_and_say_what_was(qtbot: QtBot, window: MainWindow) -> None:
    panel = window.experiment_panel
    rows = [panel.form.editor(path) for path in ("pattern", "seed", "model.width")]

    def places() -> list[QPoint]:
        panel._scroll.verticalScrollBar().setValue(0)  # it scrolls to what has the focus
        QApplication.processEvents()
        return [row.mapToGlobal(QPoint(0, 0)) for row in rows]

    before = places()
    plain = rows[0].grab().toImage()
    assert said(panel) == "No changes" and panel.changes.run.isHidden()
    type_over(qtbot, window, "pattern", "1:4")
    assert said(panel) == "1 change" and panel.changes.run.text() == "Run it"
    type_over(qtbot, window, "optimizer.lr", "x")
    qtbot.mouseClick(focused(qtbot, window, "optimizer.nesterov"), LEFT, pos=QPoint(8, 10))
    type_over(qtbot, window, "model.width", "3")
    assert said(panel) == "4 changes" and panel.changes.run.text() == "Run them"
    assert not panel.changes.run.isEnabled()  # while the learning rate is wrong
    assert rows[0].toolTip().endswith("was 2:4") and rows[2].toolTip().endswith("was 32")
    assert panel.form.editor("optimizer.lr").toolTip().endswith("not 'x'.\nwas 0.1")
    assert panel.form.editor("optimizer.nesterov").toolTip().endswith("was off")
    assert "was" not in rows[1].toolTip()
    assert panel.changes.label.toolTip().splitlines()[0] == "N:M: was 2:4"
    tinted = rows[0].grab().toImage()
    corner = QPoint(plain.width() // 2, 4)
    assert tinted.pixelColor(corner) != plain.pixelColor(corner)
    assert places() == before
    # What is typed back is no change.
    type_over(qtbot, window, "pattern", "2:4")
    assert said(panel) == "3 changes" and not rows[0].styleSheet()
    qtbot.mouseClick(panel.changes.revert, LEFT)
    assert said(panel) == "No changes" and panel.experiment == small_experiment()
    undo(qtbot, window)
    assert said(panel) == "3 changes"
    light = rows[2].styleSheet()
    apply_theme("dark")
    qtbot.waitUntil(lambda: rows[2].styleSheet() != light, timeout=SECONDS)
    apply_theme("light")
    qtbot.waitUntil(lambda: rows[2].styleSheet() == light, timeout=SECONDS)


def tinted(table: LayerTable) -> dict[str, str]:
    """The layers whose N:M is marked as changed, and the last line of their tooltips."""
    role, model = Qt.ItemDataRole, table.table
    return {
        row.name: model.data(model.index(at, 1), role.ToolTipRole).splitlines()[-1]
        for at, row in enumerate(model.rows)
        if model.data(model.index(at, 1), role.BackgroundRole) is not None
    }


def test_an_own_pattern_of_a_layer_is_a_change(qtbot: QtBot, window: MainWindow) -> None:
    panel, table = window.experiment_panel, window.experiment_panel.layers
    qtbot.waitUntil(lambda: bool(table.plans), timeout=SECONDS)
    panel.tabs.setCurrentWidget(table)
    at = table.visualRect(table.table.index(0, 1)).center()
    qtbot.mouseClick(table.viewport(), LEFT, pos=at)
    qtbot.keyClicks(table, "1")
    (editor,) = table.findChildren(QLineEdit)
    qtbot.keyClicks(editor, ":8")
    qtbot.keyClick(editor, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: not table.findChildren(QLineEdit), timeout=SECONDS)
    assert said(panel) == "1 change"
    assert panel.changes.label.toolTip() == "N:M of hidden.0: was not its own"
    assert tinted(table) == {"hidden.0": "was 2:4"}
    panel.tabs.setCurrentIndex(0)
    undo(qtbot, window)
    assert said(panel) == "No changes" and panel.experiment == small_experiment()
    assert panel.tabs.currentWidget() is table  # what was undone is shown
    qtbot.waitUntil(lambda: not tinted(table), timeout=SECONDS)
    type_over(qtbot, window, "pattern", "1:4")
    sparse = [plan.name for plan in table.plans if plan.pattern is not None]
    qtbot.waitUntil(lambda: tinted(table) == dict.fromkeys(sparse, "was 2:4"), timeout=SECONDS)
    qtbot.waitUntil(
        lambda: (
            window.session.state is State.READY and window.session.experiment == panel.experiment
        ),
        timeout=SECONDS,
    )
    window.actions_.step.trigger()  # the run of the change begins
    qtbot.waitUntil(lambda: not tinted(table), timeout=SECONDS)


def test_one_edit_is_one_step_back_and_forth(qtbot: QtBot, window: MainWindow) -> None:
    panel, form = window.experiment_panel, window.experiment_panel.form
    states = [form._document]

    def edited() -> None:
        states.append(form._document)

    type_over(qtbot, window, "training.epochs", "123")
    edited()
    type_over(qtbot, window, "pattern", "4:8")
    edited()
    focused(qtbot, window, "seed")
    type_over(qtbot, window, "pattern", "1:")  # another visit, left as it cannot be
    edited()
    method = focused(qtbot, window, "method.name")
    assert isinstance(method, QComboBox)
    method.hidePopup()
    for _ in range(2):  # two choices, two steps
        qtbot.keyClick(method, Qt.Key.Key_Up if method.currentIndex() else Qt.Key.Key_Down)
        edited()
    check = focused(qtbot, window, "optimizer.nesterov")
    assert isinstance(check, QCheckBox)
    qtbot.keyClick(check, Qt.Key.Key_Space)
    edited()
    model = focused(qtbot, window, "model.name")
    assert isinstance(model, QComboBox)
    model.hidePopup()
    qtbot.keyClicks(model, "import")  # with fields of its own
    edited()
    type_over(qtbot, window, "model.kwargs", "depth: [")
    edited()
    assert len({str(state) for state in states}) == len(states)
    undo_action, redo_action = form.history.undo, form.history.redo
    for state in reversed(states[:-1]):
        assert undo_action.isEnabled()
        undo(qtbot, window)
        assert form._document == state
        assert panel.preview.isVisible()
    assert not undo_action.isEnabled() and panel.experiment == small_experiment()
    for state in states[1:]:
        redo(qtbot, window)
        assert form._document == state
    assert not redo_action.isEnabled()
    assert panel.experiment is None and "kwargs" in str(states[-1])
    window.starting.open(small_experiment(seed=3))
    undo(qtbot, window)  # another document: nothing of the one before comes back
    assert panel.experiment == small_experiment(seed=3)


def test_undo_brings_what_it_changed_into_view(qtbot: QtBot, window: MainWindow) -> None:
    panel, path = window.experiment_panel, "data.augment.repeats"
    type_over(qtbot, window, path, "3")
    editor, view = panel.form.editor(path), panel._scroll.viewport()

    def seen() -> bool:
        return view.rect().contains(editor.mapTo(view, editor.rect().center()))

    for modifiers in (CONTROL, CONTROL | SHIFT):  # undo, redo
        panel._scroll.verticalScrollBar().setValue(0)
        panel.tabs.setCurrentIndex(1)
        assert not seen()
        qtbot.keyClick(window, Qt.Key.Key_Z, modifiers)
        qtbot.waitUntil(seen, timeout=SECONDS)
        assert panel.tabs.currentIndex() == 0
    qtbot.mouseClick(panel.find_box, LEFT)
    qtbot.keyClicks(panel.find_box, "smoothing")
    assert shown(panel) == ["training.label_smoothing"]
    focused(qtbot, window, "training.label_smoothing")
    undo(qtbot, window)
    qtbot.waitUntil(seen, timeout=SECONDS)
    assert panel.find_box.text() == ""


def test_run_them_asks_and_then_trains_the_changes(qtbot: QtBot, use_window: Open) -> None:
    window = use_window(small_experiment(training={"epochs": 1000}, schedule={"end": 500}))
    panel = window.experiment_panel
    type_over(qtbot, window, "optimizer.lr", "0.2")
    assert said(panel) == "1 change"
    session = window.session
    qtbot.waitUntil(
        lambda: session.state is State.READY and session.experiment == panel.experiment,
        timeout=SECONDS,
    )
    assert said(panel) == "1 change"
    window.actions_.step.trigger()
    qtbot.waitUntil(lambda: window.session.state is State.PAUSED, timeout=SECONDS)
    qtbot.waitUntil(lambda: said(panel) == "No changes", timeout=SECONDS)  # the run has them
    type_over(qtbot, window, "training.epochs", "9")
    type_over(qtbot, window, "schedule.end", "4")
    assert said(panel) == "2 changes"
    assert panel.form.editor("training.epochs").toolTip().endswith("was 1000")
    qtbot.mouseClick(panel.changes.run, LEFT)
    assert "Stop it and run the changed experiment?" in answer(qtbot, window, "Keep training")
    assert said(panel) == "2 changes" and window.session.state is State.PAUSED
    qtbot.mouseClick(panel.changes.run, LEFT)
    answer(qtbot, window, "Stop and run")
    qtbot.waitUntil(lambda: window.session.state is State.FINISHED, timeout=SECONDS)
    assert window.session.experiment == panel.experiment
    assert said(panel) == "No changes"


def test_a_setting_is_found_by_name_path_or_description(qtbot: QtBot, window: MainWindow) -> None:
    panel = window.experiment_panel
    everything = shown(panel)
    window._dock_layout.docks[0].hide()
    qtbot.keyClick(window, Qt.Key.Key_F, CONTROL)
    find = panel.find_box
    qtbot.waitUntil(find.hasFocus, timeout=SECONDS)
    qtbot.keyClicks(find, "smoothing")
    assert shown(panel) == ["training.label_smoothing"]
    qtbot.keyClick(find, Qt.Key.Key_A, CONTROL)
    qtbot.keyClicks(find, "WEIGHT_d")
    assert shown(panel) == ["optimizer.weight_decay"]
    qtbot.keyClick(find, Qt.Key.Key_A, CONTROL)
    qtbot.keyClicks(find, "seed random choice")
    assert shown(panel) == ["seed"]
    qtbot.keyClick(find, Qt.Key.Key_Return)
    qtbot.waitUntil(panel.form.editor("seed").hasFocus, timeout=SECONDS)
    # What does nothing now is found too.
    qtbot.keyClick(find, Qt.Key.Key_A, CONTROL)
    qtbot.keyClicks(find, "schedule.steps")
    assert shown(panel) == ["schedule.steps"]
    assert not panel.form.editor("schedule.steps").isEnabled()
    condition = "steps applies when Removal schedule is step and Method is lbc."
    assert panel._found.isVisible() and panel._found.text() == condition
    qtbot.keyClick(find, Qt.Key.Key_A, CONTROL)
    qtbot.keyClicks(find, "smoothing")
    assert panel._found.isHidden()
    qtbot.keyClicks(find, " zzz")
    assert shown(panel) == [] and panel._found.text() == "No setting matches"
    assert panel.experiment == small_experiment()
    qtbot.keyClick(find, Qt.Key.Key_Escape)
    assert find.text() == "" and panel._found.isHidden()
    assert shown(panel) == everything


SCHEDULE = {f"schedule.{key}" for key in ("kind", "start", "end", "exponent", "every")}


@pytest.mark.parametrize(
    ("method", "used"),
    [
        ("dense", set()),
        ("sr-ste", set()),
        ("asp", {"schedule.end", "schedule.every"}),
        ("lbc", SCHEDULE),
    ],
)
def test_settings_that_a_method_ignores_are_hidden(
    qtbot: QtBot, window: MainWindow, method: str, used: set[str]
) -> None:
    panel = window.experiment_panel
    box = focused(qtbot, window, "method.name")
    assert isinstance(box, QComboBox)
    box.hidePopup()
    box.view().keyboardSearch("")  # or the keys follow those of the test before
    qtbot.keyClicks(box, method)
    assert box.currentText() == method
    assert {path for path in shown(panel) if path.startswith("schedule.")} == used
    # What it ignores and makes the experiment impossible can nevertheless be mended.
    for key, value in (("method.name", "lbc"), ("schedule.start", 9), ("method.name", method)):
        panel.form.enter(key, value)
    assert "schedule.end" in shown(panel)
    type_over(qtbot, window, "schedule.end", "9.25")
    assert panel.experiment is not None and panel.experiment.schedule.end == 9.25


def paused_window(use_window: Open, qtbot: QtBot) -> MainWindow:
    """A window whose run has taken a few steps and is paused."""
    window = use_window(small_experiment(), start=True)
    qtbot.waitUntil(lambda: window.session.folder is not None, timeout=SECONDS)
    window.actions_.pause.trigger()
    qtbot.waitUntil(lambda: window.session.state is State.PAUSED, timeout=SECONDS)
    return window


def apply(qtbot: QtBot, window: MainWindow) -> None:
    panel = window.experiment_panel
    qtbot.waitUntil(panel.changes.apply.isEnabled, timeout=SECONDS)
    qtbot.mouseClick(panel.changes.apply, LEFT)
    qtbot.waitUntil(lambda: said(panel) == "No changes", timeout=SECONDS)


def test_what_is_applied_shows_everywhere_and_can_be_undone(use_window: Open, qtbot: QtBot) -> None:
    window = paused_window(use_window, qtbot)
    panel, session = window.experiment_panel, window.session
    bar = panel.changes
    assert session.folder is not None and bar.apply.isHidden()
    type_over(qtbot, window, "optimizer.lr", "0.05")
    assert said(panel) == "1 change" and bar.apply.isVisible()
    apply(qtbot, window)
    assert bar.apply.isHidden() and session.experiment == panel.experiment
    sentence = "The learning rate was changed from 0.1 to 0.05"
    assert sentence in window.log.toPlainText()
    (done,) = read_interventions(session.folder)
    track = window.timeline.track
    qtbot.waitUntil(lambda: len(track.moments) > done.moment, timeout=SECONDS)
    assert sentence in track.described(track.x_of(done.moment))
    assert session.state is State.PAUSED
    records = session.folder / "steps.records"
    taken = len(read_records(records)["lr"])
    window.actions_.step.trigger()
    qtbot.waitUntil(lambda: len(read_records(records)["lr"]) > taken, timeout=SECONDS)
    rates = read_records(records)["lr"]
    assert rates[0] == 0.1 and rates[taken] < 0.051
    undo(qtbot, window)
    assert said(panel) == "1 change" and panel.experiment is not None
    assert panel.experiment.optimizer.lr == 0.1
    apply(qtbot, window)
    assert "from 0.05 to 0.1" in window.log.toPlainText()

    type_over(qtbot, window, "training.epochs", "20")
    type_over(qtbot, window, "schedule.end", "15")
    before = window.progress.maximum()
    apply(qtbot, window)
    assert window.progress.maximum() == 2 * before
    assert "of 20" in window.progress.format()
    assert window.curves._plots["loss"].viewRange()[0][1] > 20
    qtbot.waitUntil(lambda: track._end == 20, timeout=SECONDS)
    assert effective_experiment(session.folder) == panel.experiment


def test_what_needs_a_new_run_is_named_and_a_refusal_is_said(
    use_window: Open, qtbot: QtBot
) -> None:
    window = paused_window(use_window, qtbot)
    panel = window.experiment_panel
    type_over(qtbot, window, "optimizer.lr", "0.05")
    type_over(qtbot, window, "seed", "3")
    sentence = "Seed cannot change during a run: start a new run, or fork this one."
    assert not panel.changes.apply.isEnabled() and panel.changes.apply.toolTip() == sentence
    assert panel._note.isVisible() and panel._note.text() == sentence
    undo(qtbot, window)
    assert panel.changes.apply.isEnabled() and not panel._note.isVisible()
    type_over(qtbot, window, "schedule.end", "0.0001")
    qtbot.mouseClick(panel.changes.apply, LEFT)
    qtbot.waitUntil(lambda: "cannot remove" in window.message.text, timeout=SECONDS)
    assert said(panel) == "2 changes" and panel.changes.apply.isEnabled()
    undo(qtbot, window)
    apply(qtbot, window)
    assert not window.message.isVisible()
    window.actions_.stop.trigger()
    qtbot.waitUntil(lambda: window.session.state is State.STOPPED, timeout=SECONDS)
    type_over(qtbot, window, "optimizer.lr", "0.07")
    assert panel.changes.apply.isHidden()
