"""A trained model is pruned at once: from the page Inspect, a row of Runs, and the menu."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QComboBox
from pytestqt.qtbot import QtBot
from safetensors.torch import load_file
from shiboken6 import isValid

from lbc.training.trainer import Trainer
from lbc_gui.run.prune_dialog import PruneDialog
from lbc_gui.run.session import State
from lbc_gui.widgets.number_boxes import NumberBox
from lbc_gui.window.main_window import MainWindow
from tests.gui.accessibility import unnamed
from tests.gui.conftest import SECONDS, close_window, small_experiment
from tests.gui.inspector.conftest import column
from tests.gui.library.conftest import click

Open = Callable[..., MainWindow]
Key, LEFT = Qt.Key, Qt.MouseButton.LeftButton
DENSE = small_experiment(
    name="dense", method="dense", training={"epochs": 1, "batch_size": 200}, schedule={"end": 1}
)


@pytest.fixture
def window(use_window: Open) -> Iterator[MainWindow]:
    """On the small experiment, with a finished dense run in its folder."""
    window = use_window()
    if not (window.session.runs / "dense").exists():
        Trainer(DENSE, window.session.runs / "dense").train()
    yield window
    for dialog in window.findChildren(PruneDialog) if isValid(window) else ():
        dialog.reject()


def ask(qtbot: QtBot, window: MainWindow) -> PruneDialog:
    """Open the run on the page Inspect, and press Prune there."""
    inspector = window.pages.inspector
    window.inspecting.open([window.session.runs / "dense" / "model.safetensors"])
    qtbot.waitUntil(lambda: not inspector.reading.running, timeout=SECONDS)
    qtbot.mouseClick(inspector.head.prune, LEFT)
    return dialog_of(qtbot, window)


def dialog_of(qtbot: QtBot, window: MainWindow) -> PruneDialog:
    qtbot.waitUntil(lambda: bool(window.findChildren(PruneDialog)), timeout=SECONDS)
    [dialog] = window.findChildren(PruneDialog)
    assert dialog.isVisible()
    assert unnamed(dialog) == []
    return dialog


def choose(qtbot: QtBot, dialog: PruneDialog, method: str, pattern: str) -> None:
    """Choose a method by its first letters, and type an N:M."""
    chosen, typed = dialog.form.editor("method.name"), dialog.form.editor("pattern")
    assert isinstance(chosen, QComboBox) and isinstance(typed, QComboBox)
    qtbot.keyClicks(chosen, method)
    edit = typed.lineEdit()
    assert edit is not None
    edit.selectAll()
    qtbot.keyClicks(edit, pattern)


def gone(qtbot: QtBot, window: MainWindow) -> None:
    qtbot.waitUntil(lambda: not window.findChildren(PruneDialog), timeout=SECONDS)


def made(window: MainWindow) -> set[Path]:
    return {*window.session.runs.glob("*.safetensors")}


def test_a_run_is_pruned_shown_and_trained_on(qtbot: QtBot, window: MainWindow) -> None:
    dialog = ask(qtbot, window)
    choose(qtbot, dialog, "wanda", "1:4")
    images = dialog.form.editor("method.images")
    assert isinstance(images, NumberBox) and images.isVisible()
    assert not dialog.form.editor("method.damping").isVisible()
    qtbot.mouseClick(dialog.prune, LEFT)
    assert not dialog.prune.isEnabled() and dialog.bar.isVisible()
    gone(qtbot, window)
    inspector, file = window.pages.inspector, window.session.runs / "dense-wanda-1-4.safetensors"
    opened = inspector.reading
    qtbot.waitUntil(
        lambda: opened.opening is not None and opened.opening.file == file and not opened.running,
        timeout=SECONDS,
    )
    assert window.pages.currentWidget() is inspector
    names = column(inspector, "layer")
    patterns, errors = (
        dict(zip(names, column(inspector, key), strict=True)) for key in ("N:M", "error")
    )
    assert patterns == {"hidden.0": "1:4", "hidden.1": "1:4", "head": "dense"}
    assert errors["hidden.0"].endswith("%") and errors["hidden.1"].endswith("%")
    assert errors["head"] == ""
    assert not inspector.panel.table.isColumnHidden(9)
    assert inspector.layer.picture is not None and inspector.layer.picture.name == "hidden.0"
    assert "Pruned by wanda: " in inspector.head.described
    assert "accuracy before" in window.log.toPlainText() and str(file) in window.log.toPlainText()
    qtbot.mouseClick(inspector.head.fine_tune, LEFT)
    experiment = window.experiment_panel.experiment
    assert experiment is not None and window.pages.currentIndex() == 0
    assert (experiment.method.name, str(experiment.pattern)) == ("fixed", "1:4")
    assert experiment.training == DENSE.training.model_copy(update={"weights": file})
    window.actions_.run.trigger()
    session = window.session
    qtbot.waitUntil(lambda: session.state is State.FINISHED, timeout=SECONDS)
    assert session.folder is not None
    before, after = load_file(file), load_file(session.folder / "model.safetensors")
    assert not bool(((before["hidden.0.weight"] == 0) & (after["hidden.0.weight"] != 0)).any())
    assert window.actions_.prune.isEnabled()  # of the run that has finished
    window.actions_.prune.trigger()
    assert dialog_of(qtbot, window).windowTitle() == f"Prune {session.folder.name}"


def test_what_is_open_without_a_record_has_no_errors(qtbot: QtBot, window: MainWindow) -> None:
    ask(qtbot, window)
    head = window.pages.inspector.head
    assert not head.fine_tune.isVisible() and "Pruned" not in head.described
    assert window.pages.inspector.panel.table.isColumnHidden(9)


def test_a_row_of_runs_is_pruned_and_cancelled(qtbot: QtBot, window: MainWindow) -> None:
    page = window.pages.library
    window.pages.setCurrentWidget(page)
    qtbot.waitUntil(lambda: bool(page.table.runs.lines), timeout=SECONDS)
    click(qtbot, page, "dense")
    qtbot.keyClick(page.table, Key.Key_P, Qt.KeyboardModifier.ShiftModifier)
    dialog, before = dialog_of(qtbot, window), made(window)
    qtbot.mouseClick(dialog.prune, LEFT)
    assert dialog.bar.isVisible()
    qtbot.mouseClick(dialog.cancel, LEFT)
    gone(qtbot, window)
    qtbot.waitUntil(lambda: "nothing has been written" in window.log.toPlainText(), timeout=SECONDS)
    assert made(window) == before


def test_what_cannot_be_pruned_is_said_in_the_dialog(qtbot: QtBot, window: MainWindow) -> None:
    dialog, before = ask(qtbot, window), made(window)
    choose(qtbot, dialog, "asp", "3:2")
    assert "3:2 is impossible" in dialog.problem.text() and not dialog.prune.isEnabled()
    choose(qtbot, dialog, "asp", "1:5")
    assert not dialog.problem.text()
    qtbot.mouseClick(dialog.prune, LEFT)
    qtbot.waitUntil(lambda: "not a multiple of 5" in dialog.problem.text(), timeout=SECONDS)
    qtbot.waitUntil(dialog.prune.isEnabled, timeout=SECONDS)
    assert dialog.isVisible() and made(window) == before


def test_code_of_a_run_that_was_not_started_here_is_not_run(
    qtbot: QtBot, window: MainWindow
) -> None:
    folder = window.session.runs / "dense"
    text = (folder / "experiment.yaml").read_text()
    start, end = text.index("model:"), text.index("pattern:")
    (folder / "experiment.yaml").write_text(f"{text[:start]}model: {{import: 'm:f'}}\n{text[end:]}")
    try:
        window.inspecting.open([folder / "model.safetensors"])
        inspector = window.pages.inspector
        qtbot.waitUntil(lambda: not inspector.reading.running, timeout=SECONDS)
        qtbot.mouseClick(inspector.head.prune, LEFT)
        qtbot.waitUntil(window.message.isVisible, timeout=SECONDS)
        assert "is code, which you have not run here" in window.message.text
        assert not window.findChildren(PruneDialog)
    finally:
        (folder / "experiment.yaml").write_text(text)


def test_the_window_closes_while_a_model_is_pruned(
    qtbot: QtBot, window: MainWindow, used_windows: list[MainWindow]
) -> None:
    dialog, before = ask(qtbot, window), made(window)
    qtbot.mouseClick(dialog.prune, LEFT)
    window.close()
    qtbot.waitUntil(lambda: not window.isVisible(), timeout=SECONDS)
    assert made(window) == before
    used_windows.clear()  # this was the last test
    close_window(qtbot, window)
