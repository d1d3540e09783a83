"""Files, themes, layout and start-up of the window."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import QMimeData, Qt
from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QApplication, QGraphicsView
from pytestqt.qtbot import QtBot

from lbc.config import Experiment, load_experiment
from lbc.files.resources import resource
from lbc_gui.experiment.implications import Implied
from lbc_gui.run.session import State
from lbc_gui.settings import Settings
from lbc_gui.window.main_window import MainWindow
from tests.gui.conftest import SECONDS, close_window, small_experiment

Open = Callable[..., MainWindow]


@pytest.fixture
def window(use_window: Open) -> MainWindow:
    return use_window()


def test_an_experiment_is_saved_and_opened_again(
    qtbot: QtBot, use_window: Open, tmp_path: Path
) -> None:
    window = use_window()
    experiment = small_experiment(name="kept", pattern="1:4", seed=9)
    path = tmp_path / "kept.yaml"
    with qtbot.waitSignal(window.files.said, timeout=SECONDS):
        window.files.save_experiment(experiment, path)
    assert load_experiment(path) == experiment
    window.files.open_experiment(path)
    qtbot.waitUntil(
        lambda: window.session.experiment == experiment and window.session.state is State.READY,
        timeout=SECONDS,
    )
    assert window.experiment_panel.experiment == experiment


def test_an_experiment_that_cannot_be_saved_is_reported_until_one_is(
    qtbot: QtBot, window: MainWindow, tmp_path: Path
) -> None:
    for path in (tmp_path / "none" / "a.yaml", tmp_path / "a\0.yaml"):  # OSError and ValueError
        with qtbot.waitSignal(window.files.failed, timeout=SECONDS):
            window.files.save_experiment(small_experiment(), path)
        assert window.message.text.startswith(f"{path} could not be written")
        assert f"Saved {path}" not in window.log.toPlainText()
    assert window.message.isVisible()
    window.reporting.said.emit("Saved a report.")  # which is another matter
    assert window.message.isVisible()
    with qtbot.waitSignal(window.files.said, timeout=SECONDS):
        window.files.save_experiment(small_experiment(), tmp_path / "a.yaml")
    assert not window.message.isVisible()


def test_a_file_that_cannot_be_read_leaves_everything_as_it_was(
    window: MainWindow, tmp_path: Path
) -> None:
    before = window.experiment_panel.experiment
    for name, content, said in (
        ("a.yaml", b"pattern: 5:4\nmodle: {}\n", ["a.yaml:1: pattern", "did you mean"]),
        ("b.yaml", b"\x00\xff\xfe", ["b.yaml"]),
        ("c.yaml", b"training: {epochs: ", ["c.yaml:"]),
    ):
        (tmp_path / name).write_bytes(content)
        window.files.open_experiment(tmp_path / name)
        assert window.message.isVisible()
        assert all(part in window.message.text for part in said)
        assert "Traceback" not in window.message.text
        assert window.experiment_panel.experiment == before
        assert window.session.state is State.READY


def test_every_example_opens_and_says_what_it_lacks_here(qtbot: QtBot, use_window: Open) -> None:
    window = use_window()
    examples = {action.text(): action for action in window.actions_.examples.actions()}
    assert list(examples) == [
        "cifar10-resnet32", "deit-small-imagenet", "digits", "fashion-1-16", "resnet50-imagenet",
    ]  # fmt: skip
    examples["digits"].trigger()
    qtbot.waitUntil(lambda: window.session.experiment == Experiment(), timeout=SECONDS)
    examples["deit-small-imagenet"].trigger()
    shown = window.experiment_panel.form.experiment
    assert shown == load_experiment(resource("experiments/deit-small-imagenet.yaml"))
    qtbot.waitUntil(lambda: window.session.state is State.FAILED, timeout=SECONDS)
    problem = window.experiment_panel.problem
    qtbot.waitUntil(lambda: "/data/imagenet" in problem.text().replace("\\", "/"), timeout=SECONDS)
    assert "set device to cpu" in window.message.text or "has no folder" in window.message.text
    assert window.progress.text() == "failed"


def reach_background(qtbot: QtBot, view: QGraphicsView, colour: QColor) -> None:
    qtbot.waitUntil(lambda: view.backgroundBrush().color() == colour, timeout=SECONDS)


def test_the_theme_is_taken_at_once_and_remembered(qtbot: QtBot, window: MainWindow) -> None:
    by_name = {action.data(): action for action in window.actions_.themes.actions()}
    for name, dark in (("dark", True), ("light", False)):
        by_name[name].trigger()
        assert window.settings.theme == name
        base = QApplication.palette().color(QPalette.ColorRole.Base)
        assert (base.lightness() < 128) is dark
        for view in (window.curves, window.scores.heatmap, window.experiment_panel.preview):
            reach_background(qtbot, view, base)
    by_name["system"].trigger()


def test_a_window_closes_while_its_other_pages_are_imported_and_takes_what_was_copied_along(
    qtbot: QtBot, qapp: QApplication, settings: Settings, tmp_path: Path
) -> None:
    qapp.setStyleSheet("")
    window = MainWindow(small_experiment(), tmp_path / "runs", settings)
    window.show()
    window.begin()
    copied = QMimeData()
    copied.setText("which would be deleted after Python has ended")
    qapp.clipboard().setMimeData(copied)
    completion = window._completion
    once = Qt.ConnectionType.SingleShotConnection
    completion.running_changed.connect(lambda running: window.closing.start(), once)
    qtbot.waitUntil(lambda: window.closing.started and not window.isVisible(), timeout=SECONDS)
    close_window(qtbot, window)
    assert not completion.running and not window.complete
    assert not qapp.clipboard().text()


def test_a_closed_window_starts_no_thread(qtbot: QtBot, window: MainWindow) -> None:
    """As after a change of the form that is not examined yet: Qt would end the process."""
    window.closing.start()
    qtbot.waitUntil(lambda: not window.isVisible(), timeout=SECONDS)
    implications = window.experiment_panel.implications
    implications.ask(Implied(small_experiment(seed=5)), None)
    assert not implications.running


def test_the_first_window_does_not_wait_for_torch() -> None:
    code = (
        "import sys; import lbc_gui.window.main_window, lbc_gui.app;"
        "sys.exit(any(name in sys.modules for name in ('torch', 'matplotlib', 'scipy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
