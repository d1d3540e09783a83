"""A run that cannot be prepared leaves nothing of the one before, and says what would help."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFileDialog, QPushButton
from pytestqt.qtbot import QtBot

from lbc.download.datasets import DATASETS, RemoteDataset
from lbc_gui.block.block_panel import HINT
from lbc_gui.run.session import State
from lbc_gui.window.main_window import MainWindow
from tests.data.test_cifar import ten
from tests.download.test_download import Server, archive_of, server
from tests.gui.conftest import SECONDS, small_experiment

Open = Callable[..., MainWindow]

__all__ = ["server"]


def offers(qtbot: QtBot, window: MainWindow, *texts: str, copy: bool = True) -> None:
    """Wait until the bar has just these buttons besides its own, in this order."""

    def shown() -> bool:
        buttons = [b for b in window.message.findChildren(QPushButton) if b.isVisible()]
        found = [b.text() for b in sorted(buttons, key=lambda b: b.x())]
        return found == [*texts, *(["Copy details"] if copy else []), "Dismiss"]

    qtbot.waitUntil(shown, timeout=SECONDS)


def press(qtbot: QtBot, window: MainWindow, text: str) -> None:
    buttons = window.message.findChildren(QPushButton)
    (button,) = (b for b in buttons if b.text() == text and b.isVisible())
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def failed(qtbot: QtBot, window: MainWindow) -> None:
    qtbot.waitUntil(lambda: window.session.unprepared, timeout=SECONDS)
    qtbot.waitUntil(window.message.isVisible, timeout=SECONDS)


def test_nothing_is_left_of_the_run_before(qtbot: QtBot, use_window: Open) -> None:
    window = use_window()
    window.actions_.step.trigger()
    qtbot.waitUntil(lambda: window.progress.value() == 1, timeout=SECONDS)
    window.view_state.pin(3)
    window.actions_.stop.trigger()
    qtbot.waitUntil(lambda: window.session.state is State.STOPPED, timeout=SECONDS)
    qtbot.waitUntil(lambda: bool(window.view_state.view.moments), timeout=SECONDS)
    examples = {action.text(): action for action in window.actions_.examples.actions()}
    examples["resnet50-imagenet"].trigger()
    failed(qtbot, window)
    assert window.windowTitle().startswith("resnet50-imagenet · failed")
    assert not window.scores.list._entries() and window.scores.heatmap._fold is None
    assert not window.scores._legend._kinds and not window.pages.masks.legend._kinds
    assert window.pages.masks._snapshot is None and window.view_state.view.request is None
    assert not window.timeline.track.moments and window.curves.picture_to_save() is None
    plots = [window.scores.heatmap._plot, *window.curves._plots.values()]
    axes = [plot.getAxis(name) for plot in plots for name in ("left", "bottom")]
    assert not any(axis.style["showValues"] for axis in axes)
    assert window.block.title == HINT and window.block.pins.count() == 0
    assert (window.progress.text(), window.progress.value()) == ("failed", 0)
    layers = window.experiment_panel.layers.table
    qtbot.waitUntil(lambda: layers.rowCount() == 54, timeout=SECONDS)
    assert layers.text(0, 0) == "conv1"
    assert "images of 3×224×224 and 1,000 classes" in window.experiment_panel.facts.text()
    offers(qtbot, window, "Use cpu", "Choose folder…")
    window.resize(960, 600)
    rows, sentence = window.experiment_panel.form.pattern_box, window.message._text
    qtbot.waitUntil(
        lambda: sentence.width() > 500 and rows.height() == rows.sizeHint().height(),
        timeout=SECONDS,
    )


def test_the_bar_offers_what_helps(
    qtbot: QtBot,
    use_window: Open,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    server: Server,
) -> None:
    ten(tmp_path / "made")
    content = archive_of(tmp_path / "made", "cifar-10-batches-bin")
    files = (server.remote("cifar-10-binary.tar.gz", content),)
    monkeypatch.setitem(DATASETS, "cifar-10", RemoteDataset("CIFAR-10, binary", files, ""))
    data = {"name": "cifar10", "folder": str(tmp_path / "missing")}
    window = use_window(small_experiment(device="cuda", data=data))
    failed(qtbot, window)
    offers(qtbot, window, "Use cpu", "Choose folder…", "Download CIFAR-10")
    press(qtbot, window, "Use cpu")
    offers(qtbot, window, "Choose folder…", "Download CIFAR-10", copy=False)
    press(qtbot, window, "Download CIFAR-10")
    qtbot.waitUntil(lambda: window.session.state is State.READY, timeout=SECONDS)
    assert not window.message.isVisible()
    assert window.session.experiment == small_experiment(device="cpu", data=data)
    assert f"CIFAR-10, binary is in {tmp_path / 'missing'}." in window.log.toPlainText()


def test_another_folder_is_chosen_from_the_bar(
    qtbot: QtBot, use_window: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ten(tmp_path / "made")
    data = {"name": "cifar10", "folder": str(tmp_path / "missing")}
    window = use_window(small_experiment(data=data))
    offers(qtbot, window, "Choose folder…", "Download CIFAR-10")
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: "")
    press(qtbot, window, "Choose folder…")
    assert window.message.isVisible()
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path / "made"))
    press(qtbot, window, "Choose folder…")
    qtbot.waitUntil(lambda: window.session.state is State.READY, timeout=SECONDS)
    assert not window.message.isVisible()


def test_all_images_are_used_from_the_bar(qtbot: QtBot, use_window: Open) -> None:
    window = use_window(small_experiment(data={"take": 5000}))
    failed(qtbot, window)
    offers(qtbot, window, "Use all images")
    assert "only 4,000 images" in window.message.text
    press(qtbot, window, "Use all images")
    qtbot.waitUntil(lambda: window.session.state is State.READY, timeout=SECONDS)
    assert window.session.experiment == small_experiment()
