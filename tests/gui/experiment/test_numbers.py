"""Numbers in the form: kept as typed, refused with a sentence, and never changed by the wheel."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from PySide6.QtCore import QLocale, QPoint, QPointF, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtWidgets import QApplication, QComboBox, QWidget
from pytestqt.qtbot import QtBot

from lbc_gui.experiment.editors import read
from lbc_gui.experiment.experiment_panel import ExperimentPanel
from lbc_gui.widgets.number_boxes import NumberBox
from lbc_gui.window.main_window import MainWindow
from tests.gui.conftest import small_experiment
from tests.gui.experiment.test_form import combo, number, type_over

Open = Callable[..., MainWindow]


@pytest.mark.parametrize("language", ["C", "de_DE", "hi_IN"])
@pytest.mark.parametrize(
    ("path", "typed", "said"),
    [
        ("optimizer.lr", "0,25", "Learning rate: Must be a number, not '0,25': write 0.5 with"),
        ("optimizer.lr", "-1", "Learning rate: Must be above 0, not -1."),
        ("optimizer.lr", "−1", "Learning rate: Must be a number, not '−1'."),
        ("optimizer.lr", "inf", "Learning rate: Must be a finite number."),
        ("optimizer.lr", "", "Learning rate: Must be a number, not ''."),
        ("schedule.end", "6,5", "to epoch: Must be a number, not '6,5': write"),
        ("training.epochs", "-1", "Epochs: Must be at least 1, not -1."),
        ("training.epochs", "1,5", "Epochs: Must be a whole number, not '1,5'."),
        ("training.epochs", "2.5", "Epochs: Must be a whole number, not 2.5."),
        ("training.batch_size", "1 000", "Batch size: Must be a whole number, not '1 000'."),
        ("seed", "-1", "Seed: Must be at least 0, not -1."),
        ("seed", "99999999999999", "Seed: Must be below 4294967296, not 99999999999999."),
    ],
)
def test_a_number_that_cannot_be_is_kept_as_typed_and_refused(
    qtbot: QtBot, used_panel: ExperimentPanel, request: pytest.FixtureRequest,
    language: str, path: str, typed: str, said: str,
) -> None:  # fmt: skip
    editor = number(used_panel, path)
    editor.setLocale(QLocale(language))
    request.addfinalizer(editor.unsetLocale)
    type_over(qtbot, editor, typed)
    assert editor.text() == typed
    assert used_panel.experiment is None
    assert used_panel.problem.text().startswith(said)
    type_over(qtbot, editor, "7")
    assert used_panel.experiment is not None
    assert read(editor) == 7


@pytest.mark.parametrize("value", [4294967295, 1e-13, 0.1234567, 123456789.5])
def test_a_number_from_a_file_stays_exact(used_panel: ExperimentPanel, value: float) -> None:
    where = {"seed": value} if isinstance(value, int) else {"optimizer": {"lr": value}}
    used_panel.show_experiment(small_experiment(**where))
    assert used_panel.experiment == small_experiment(**where)


def test_arrow_keys_step_and_stop_at_zero(qtbot: QtBot, panel: ExperimentPanel) -> None:
    seed = number(panel, "seed")
    qtbot.keyClick(seed, Qt.Key.Key_Up)
    assert panel.experiment is not None and panel.experiment.seed == 1
    for _ in range(3):
        qtbot.keyClick(seed, Qt.Key.Key_Down)
    assert panel.experiment is not None and panel.experiment.seed == 0
    type_over(qtbot, seed, "x")
    qtbot.keyClick(seed, Qt.Key.Key_Up)
    assert panel.experiment is not None and panel.experiment.seed == 1


def test_a_milestone_that_is_no_number_marks_its_row(qtbot: QtBot, panel: ExperimentPanel) -> None:
    combo(panel, "optimizer.lr_schedule").setCurrentText("step")
    milestones = panel.form.editor("optimizer.lr_milestones")
    qtbot.keyClicks(milestones, "4; 5")
    assert panel.problem.text() == "falls at: Must be a number, not '4; 5'."
    assert milestones.styleSheet()


def turn_wheel(editor: QWidget) -> None:
    where = QPointF(editor.rect().center())
    turn = QWheelEvent(
        where, editor.mapToGlobal(where), QPoint(), QPoint(0, -120), Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(editor, turn)


def test_the_wheel_never_changes_a_value(open_window: Open) -> None:
    window = open_window()
    boxes = [(box, box.currentText) for box in window.findChildren(QComboBox)]
    numbers = [(box, box.text) for box in window.findChildren(NumberBox)]
    for editor, text in (*boxes, *numbers):
        before = text()
        turn_wheel(editor)
        editor.setFocus()  # as the first editor has without a click
        turn_wheel(editor)
        assert text() == before
        assert editor.focusPolicy() == Qt.FocusPolicy.StrongFocus
    assert window.experiment_panel.experiment == small_experiment()


@pytest.mark.parametrize(
    ("path", "typed", "said"),
    [
        ("training.epochs", "1", "to epoch: Removal ends at epoch 6, but training ends at epoch "
         "1: lower “to epoch” to 1 or raise “Epochs”."),
        ("training.accumulate", "999", "in parts: A batch of 200 cannot be split into 999 parts of "
         "at least two images: lower “in parts”, or raise “Batch size”."),
    ],
)  # fmt: skip
def test_a_contradiction_names_settings_by_their_labels(
    qtbot: QtBot, used_panel: ExperimentPanel, path: str, typed: str, said: str
) -> None:
    used_panel.show_experiment(small_experiment())
    editor = number(used_panel, path)
    type_over(qtbot, editor, typed)
    assert used_panel.problem.text() == said
    wrong = number(used_panel, "schedule.end") if path == "training.epochs" else editor
    assert said.endswith(wrong.toolTip().split("\n")[0].removeprefix("<p>").removesuffix("</p>"))
