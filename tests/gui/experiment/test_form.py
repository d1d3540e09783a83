"""The form: what it shows is what will run, and what is impossible is said at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import (
    QApplication,
    QComboBox,
    QFileDialog,
    QLineEdit,
    QTabWidget,
    QToolButton,
)
from pytestqt.qtbot import QtBot

from lbc.config import Augment, Experiment, ImageFolder, parse_experiment
from lbc.models import build
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.schedule import KINDS
from lbc_gui.experiment.editors import FileBox
from lbc_gui.experiment.experiment_panel import ExperimentPanel
from lbc_gui.experiment.fields import VARIANTS
from lbc_gui.run.session import State
from lbc_gui.widgets.number_boxes import NumberBox
from lbc_gui.window.main_window import MainWindow
from tests.gui.conftest import SECONDS, answer, small_experiment

Open = Callable[..., MainWindow]

EXPERIMENTS = [
    Experiment(),
    small_experiment(),
    parse_experiment({"model": {"name": "resnet18"}, "pattern": "8:16", "device": "cuda:1"}),
    parse_experiment({
        "optimizer": {
            "name": "adamw", "lr": 3e-5, "weight_decay": 0.05, "lr_schedule": "step",
            "lr_milestones": [4, 7.5], "lr_factor": 0.25, "warmup_epochs": 0.5, "warmup_lr": 1e-6,
        },
        "training": {"precision": "bfloat16", "ema_decay": 0.999, "compile": True},
        "scores": "per_combination",
        "schedule": {"kind": "step", "start": 1.5, "end": 7.25, "steps": 3, "every": "step"},
        "layers": {"stages.1.conv": "dense", "stages.*": "1:4"},
        "skip": ["head"],
        "seed": 7,
    }),
    parse_experiment({"data": {"name": "npz", "file": "/data/mine.npz", "test_share": 0.125}}),
    parse_experiment({
        "data": {
            "name": "folder", "folder": "/data/imagenet", "interpolation": "bicubic", "workers": 9,
            "augment": {"crop": "resized", "padding": 9, "rand_augment": 9.0, "mixup": 0.8},
        }
    }),
    parse_experiment({"data": {"name": "idx", "folder": "/data/e", "emnist": "letters"}}),
    parse_experiment({"data": {"take": 1000, "test_share": 0.5}}),
    parse_experiment({"data": {"name": "cifar100", "folder": "/data/c", "labels": "coarse"}}),
]  # fmt: skip


def combo(panel: ExperimentPanel, path: str) -> QComboBox:
    editor = panel.form.editor(path)
    assert isinstance(editor, QComboBox)
    return editor


def number(panel: ExperimentPanel, path: str) -> NumberBox:
    editor = panel.form.editor(path)
    assert isinstance(editor, NumberBox)
    return editor


def type_over(qtbot: QtBot, editor: NumberBox, text: str) -> None:
    """Replace what the editor says, and leave it."""
    editor.selectAll()
    qtbot.keyClick(editor, Qt.Key.Key_Delete)
    if text.isascii():
        qtbot.keyClicks(editor, text)
    else:  # which keyClicks cannot type
        QApplication.clipboard().setText(text)
        qtbot.keyClick(editor, Qt.Key.Key_V, Qt.KeyboardModifier.ControlModifier)
    qtbot.keyClick(editor, Qt.Key.Key_Return)


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=str)
def test_an_experiment_passes_through_the_form_unchanged(
    used_panel: ExperimentPanel, experiment: Experiment
) -> None:
    used_panel.show_experiment(experiment)
    assert used_panel.experiment == experiment


def test_typing_another_pattern_redraws_what_it_implies_at_once(
    qtbot: QtBot, panel: ExperimentPanel
) -> None:
    editor = combo(panel, "pattern")
    editor.setFocus()
    line = editor.lineEdit()
    assert line is not None
    line.selectAll()
    qtbot.keyClicks(editor, "4:8")
    # Before any timer has run:
    assert panel.experiment is not None
    assert panel.experiment.pattern == Pattern(4, 8)
    _, live = panel.preview._live.getOriginalDataset()
    schedule = panel.experiment.schedule.as_schedule()
    assert live.tolist() == [schedule.live(Pattern(4, 8), epoch) for epoch in range(11)]
    _, least = panel.preview._least.getOriginalDataset()
    assert least[0] == 100
    assert least[-1] == 50


@pytest.mark.parametrize("kind", KINDS)
def test_every_schedule_is_drawn(used_panel: ExperimentPanel, kind: str) -> None:
    combo(used_panel, "schedule.kind").setCurrentText(kind)
    assert used_panel.experiment is not None
    _, live = used_panel.preview._live.getOriginalDataset()
    assert live[0] == 6
    assert live[-1] == 1
    assert np.all(np.diff(live) <= 0)
    shown = not used_panel.form.editor("schedule.exponent").isHidden()
    assert shown is (kind == "polynomial")


@pytest.mark.parametrize(
    ("method", "live", "density"),
    [
        ("dense", [6] * 11, [100] * 11),
        ("asp", [6] * 6 + [1] * 5, [100] * 6 + [50] * 5),
        ("sr-ste", [1] * 11, [50] * 11),
    ],
)
def test_the_preview_is_of_the_method(
    qtbot: QtBot, panel: ExperimentPanel, method: str, live: list[int], density: list[float]
) -> None:
    box = combo(panel, "method.name")
    box.setFocus()
    while box.currentText() != method:
        before = box.currentText()
        qtbot.keyClick(box, Qt.Key.Key_Down)
        if box.currentText() == before:
            qtbot.keyClick(box, Qt.Key.Key_Home)
    assert panel.preview._live.getOriginalDataset()[1].tolist() == live
    for bound in (panel.preview._least, panel.preview._most):
        assert bound.getOriginalDataset()[1].tolist() == density


@pytest.mark.parametrize("text", ["0:4", "5:4", "3:3", "2-4", "", "::", "2:4:8"])
def test_an_impossible_pattern_is_one_sentence(
    qtbot: QtBot, used_panel: ExperimentPanel, text: str
) -> None:
    combo(used_panel, "pattern").setEditText(text)
    assert used_panel.experiment is None
    assert used_panel.problem.text().startswith("N:M: ")
    assert "\n" not in used_panel.problem.text()
    combo(used_panel, "pattern").setEditText("2:4")
    assert used_panel.experiment is not None
    assert used_panel.problem.isHidden()


def test_a_schedule_that_ends_before_it_starts_is_reported(panel: ExperimentPanel) -> None:
    number(panel, "schedule.start").setValue(8)
    assert panel.experiment is None
    assert "before it starts" in panel.problem.text()


def test_another_model_takes_its_own_defaults(panel: ExperimentPanel) -> None:
    combo(panel, "model.name").setCurrentText("convnet")
    width = number(panel, "model.width")
    assert width.value() == 32
    combo(panel, "model.name").setCurrentText("mlp")
    assert width.value() == 256
    combo(panel, "model.name").setCurrentText("resnet18")
    assert width.isHidden()
    assert panel.experiment is not None


def test_every_setting_of_the_data_can_be_edited(panel: ExperimentPanel) -> None:
    for name, source in VARIANTS["data"].items():
        combo(panel, "data.name").setCurrentText(name)
        for key in source.model_fields:
            if key != "augment":
                assert not panel.form.editor(f"data.{key}").isHidden()
    for key in Augment.model_fields:
        assert panel.form.editor(f"data.augment.{key}").toolTip()


def test_another_source_of_data_takes_its_own_settings(panel: ExperimentPanel) -> None:
    combo(panel, "data.augment.crop").setCurrentText("pad")
    combo(panel, "data.name").setCurrentText("folder")
    assert panel.problem.text() == "folder: The path is empty: enter a file or folder."
    folder = panel.form.editor("data.folder")
    assert isinstance(folder, FileBox)
    folder.edit.setText("/data/imagenet")
    assert panel.experiment is not None
    assert panel.experiment.data == ImageFolder(
        folder=Path("/data/imagenet"), augment=Augment(crop="pad")
    )
    assert not panel.form.editor("data.augment.padding").isHidden()
    combo(panel, "data.augment.crop").setCurrentText("resized")
    assert panel.form.editor("data.augment.padding").isHidden()


def test_numbers_may_be_written_short(qtbot: QtBot, panel: ExperimentPanel) -> None:
    type_over(qtbot, number(panel, "optimizer.lr"), "2e-3")
    assert panel.experiment is not None
    assert panel.experiment.optimizer.lr == 0.002


def test_too_much_score_memory_is_reported_beforehand(use_window: Open, qtbot: QtBot) -> None:
    window = use_window()
    panel = window.experiment_panel
    combo(panel, "optimizer.name").setCurrentText("adam")
    combo(panel, "model.name").setCurrentText("resnet18")
    combo(panel, "pattern").setEditText("8:16")
    qtbot.waitUntil(lambda: "GiB" in panel.problem.text(), timeout=SECONDS)
    assert "per_weight" in panel.problem.text()
    assert not window.actions_.run.isEnabled()


def test_a_changed_form_is_what_run_trains(use_window: Open, qtbot: QtBot) -> None:
    window = use_window()
    combo(window.experiment_panel, "pattern").setEditText("1:4")
    window.actions_.run.trigger()  # at once, before the form has settled
    qtbot.waitUntil(lambda: window.session.state is State.FINISHED, timeout=SECONDS)
    assert window.session.prepared is not None
    assert {layer.pattern for layer in window.session.prepared.layers} == {Pattern(1, 4)}


def test_a_layer_takes_its_own_pattern(use_window: Open, qtbot: QtBot) -> None:
    window = use_window()
    table = window.experiment_panel.layers

    row = table.table.row_of("hidden.0")
    assert row is not None
    cell = table.table.index(row, 1)

    def type_over(text: str) -> None:
        table.edit(cell)
        (editor,) = table.findChildren(QLineEdit)
        editor.setText(text)
        qtbot.keyClick(editor, Qt.Key.Key_Return)
        qtbot.waitUntil(lambda: not table.findChildren(QLineEdit), timeout=SECONDS)

    type_over("1:8")
    qtbot.waitUntil(
        lambda: (
            window.session.state is State.READY
            and window.session.prepared is not None
            and window.session.prepared.layers[0].pattern == Pattern(1, 8)
        ),
        timeout=SECONDS,
    )
    assert cell.data() == "1:8"
    type_over("nonsense")
    assert cell.data() == "nonsense"
    assert window.experiment_panel.experiment is None
    assert not window.actions_.run.isEnabled()


def test_an_edit_during_training_waits_for_reset(use_window: Open, qtbot: QtBot) -> None:
    window = use_window(small_experiment(training={"epochs": 1000}, schedule={"end": 500}))
    window.actions_.run.trigger()
    qtbot.waitUntil(lambda: window.session.state is State.RUNNING, timeout=SECONDS)
    name = window.experiment_panel.form.editor("name")
    assert isinstance(name, QLineEdit)
    name.setText("later")
    qtbot.wait(400)
    assert window.session.state is State.RUNNING
    assert window.experiment_panel.changes.label.text() == "1 change"
    window.actions_.reset.trigger()
    answer(qtbot, window, "Stop and reset")
    qtbot.waitUntil(lambda: window.session.state is State.READY, timeout=SECONDS)
    assert window.session.experiment is not None
    assert window.session.experiment.name == "later"


def test_no_sentence_moves_the_form_under_the_pointer(qtbot: QtBot, use_window: Open) -> None:
    panel = use_window().experiment_panel
    paths = ("pattern", "optimizer.lr", "training.epochs", "seed", "model.name", "model.width")
    rows = [panel.form.editor(path) for path in paths]

    def places() -> list[QPoint]:
        QApplication.processEvents()
        return [row.mapToGlobal(QPoint(0, 0)) for row in rows]

    before = places()
    heights = [place.y() for place in before]
    assert heights == sorted(heights)
    for path in paths[1:4]:
        type_over(qtbot, number(panel, path), "0,25 and more that is not a number")
        assert places() == before
    assert panel.problem.text().count("\n") == 2 and panel.problem.isVisible()


def test_several_layers_take_one_pattern_and_show_that_it_is_their_own(
    use_window: Open, qtbot: QtBot
) -> None:
    window = use_window()
    panel = window.experiment_panel
    (tabs,) = panel.findChildren(QTabWidget)
    tab = tabs.tabBar().tabRect(1).center()
    qtbot.mouseClick(tabs.tabBar(), Qt.MouseButton.LeftButton, pos=tab)
    table, rows = panel.layers, panel.layers.table

    def own() -> list[str]:
        return [rows.text(row, 2) for row in range(rows.rowCount())]

    def click(row: int, column: int, modifier: Qt.KeyboardModifier) -> None:
        place = table.visualRect(rows.index(row, column)).center()
        qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, modifier, place)

    def type_in(text: str) -> None:
        (editor,) = table.findChildren(QLineEdit)
        editor.setText(text)
        qtbot.keyClick(editor, Qt.Key.Key_Return)

    def known(patterns: dict[str, str]) -> bool:
        experiment = panel.experiment
        if experiment is None:
            return False
        return {name: str(own) for name, own in experiment.layers.items()} == patterns

    assert own() == ["", "", ""]
    click(0, 0, Qt.KeyboardModifier.NoModifier)
    click(1, 0, Qt.KeyboardModifier.ShiftModifier)
    qtbot.keyClick(table, Qt.Key.Key_1)  # which begins an N:M
    type_in("1:4")
    qtbot.waitUntil(lambda: known({"hidden.0": "1:4", "hidden.1": "1:4"}), timeout=SECONDS)
    qtbot.waitUntil(lambda: own() == ["●", "●", ""], timeout=SECONDS)
    place = table.visualRect(rows.index(0, 1)).center()
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=place)
    qtbot.mouseDClick(table.viewport(), Qt.MouseButton.LeftButton, pos=place)
    qtbot.mouseRelease(table.viewport(), Qt.MouseButton.LeftButton, pos=place)
    type_in("1:8")
    qtbot.waitUntil(lambda: known({"hidden.0": "1:8", "hidden.1": "1:8"}), timeout=SECONDS)
    qtbot.keyClick(table, Qt.Key.Key_Delete)
    qtbot.waitUntil(lambda: known({}), timeout=SECONDS)
    qtbot.waitUntil(lambda: own() == ["", "", ""], timeout=SECONDS)


def press_button(qtbot: QtBot, box: FileBox) -> None:
    button = box.findChild(QToolButton)
    assert button is not None
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def test_a_file_to_start_from_is_chosen_read_and_refused(
    use_window: Open,
    qtbot: QtBot,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    experiment = small_experiment()
    file = tmp_path / "dense.pt"
    torch.save(build(experiment.model, (1, 28, 28), 10).state_dict(), file)
    window = use_window(experiment)
    form, log = window.experiment_panel.form, window.log
    editor = form.editor("training.weights")
    assert isinstance(editor, FileBox)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(file), ""))
    press_button(qtbot, editor)
    qtbot.waitUntil(lambda: "SHA-256" in log.toPlainText(), timeout=SECONDS)
    assert "Left over: none." in log.toPlainText() and form.changes == ("Start from: was empty",)
    taught = form.editor("training.teacher.source")
    assert isinstance(taught, FileBox)
    assert not form.editor("training.teacher.weight").isEnabled()
    press_button(qtbot, taught)
    qtbot.waitUntil(lambda: "The teacher adds" in log.toPlainText(), timeout=SECONDS)
    assert form.editor("training.teacher.weight").isEnabled()
    taught.edit.clear()
    form.enter("training.keep.every", "never")
    assert "Keep for forks: was 1 epoch" in form.changes
    form.history.undo.trigger()
    assert len(form.changes) == 1
    file.write_bytes(b"<html>")
    qtbot.keyClicks(editor.edit, "x")
    qtbot.waitUntil(lambda: "does not exist" in window.message.text, timeout=SECONDS)
    qtbot.keyClick(editor.edit, Qt.Key.Key_Backspace)
    qtbot.waitUntil(lambda: "is a web page" in window.message.text, timeout=SECONDS)
    editor.edit.clear()
    qtbot.waitUntil(lambda: window.session.state is State.READY, timeout=SECONDS)
    assert not window.message.isVisible() and window.session.experiment == experiment
