"""The report of the run on screen is saved while the window goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtWidgets import QFileDialog
from pytestqt.qtbot import QtBot

from lbc_gui.run.session import State
from lbc_gui.window.main_window import MainWindow
from tests.gui.conftest import SECONDS, close_window

Open = Callable[..., MainWindow]


@pytest.fixture
def window(use_window: Open) -> MainWindow:
    return use_window()


def choose(monkeypatch: pytest.MonkeyPatch, path: Path) -> list[str]:
    """Answer the file dialog; what it proposed is in the list."""
    proposed: list[str] = []

    def answer(_parent: object, _title: str, proposal: str, _filter: str) -> tuple[str, str]:
        proposed.append(proposal)
        return str(path), ""

    monkeypatch.setattr(QFileDialog, "getSaveFileName", answer)
    return proposed


def test_a_run_is_reported_as_soon_as_it_has_a_folder(
    qtbot: QtBot, window: MainWindow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    action = window.actions_.save_report
    assert not action.isEnabled()
    window.actions_.step.trigger()
    qtbot.waitUntil(action.isEnabled, timeout=SECONDS)
    assert window.session.state is State.PAUSED
    out = tmp_path / "report.html"
    proposed = choose(monkeypatch, out)
    action.trigger()
    assert not action.isEnabled()  # one at a time
    qtbot.waitUntil(action.isEnabled, timeout=SECONDS)
    assert proposed == [str(window.session.folder / "report.html")]  # type: ignore[operator]
    assert f"as {out}." in window.log.toPlainText()
    assert "Still running" in out.read_text("utf-8")

    window.actions_.run.trigger()
    qtbot.waitUntil(lambda: window.session.state is State.FINISHED, timeout=SECONDS)
    action.trigger()
    qtbot.waitUntil(action.isEnabled, timeout=SECONDS)
    assert "Finished after 10 of 10 epochs." in out.read_text("utf-8")
    window.actions_.reset.trigger()
    qtbot.waitUntil(lambda: window.session.state is State.READY, timeout=SECONDS)
    assert not action.isEnabled()


def test_a_report_that_cannot_be_written_is_an_error_message(
    qtbot: QtBot, window: MainWindow, tmp_path: Path
) -> None:
    with qtbot.waitSignal(window.reporting.failed, timeout=SECONDS):
        window.reporting.save(tmp_path, tmp_path / "report.html")
    assert f"{tmp_path} holds no run" in window.message.text
    window.actions_.step.trigger()
    qtbot.waitUntil(window.actions_.save_report.isEnabled, timeout=SECONDS)
    folder = window.session.folder
    assert folder is not None
    with qtbot.waitSignal(window.reporting.failed, timeout=SECONDS):
        window.reporting.save(folder, tmp_path / "nowhere" / "report.html")
    assert "The report could not be written" in window.message.text
    assert "No such file" in window.message.text


def test_the_window_closes_while_a_report_is_being_written(
    qtbot: QtBot, open_window: Open, tmp_path: Path
) -> None:
    window = open_window()
    window.actions_.step.trigger()
    qtbot.waitUntil(window.actions_.save_report.isEnabled, timeout=SECONDS)
    folder = window.session.folder
    assert folder is not None
    out = tmp_path / "report.html"
    window.reporting.save(folder, out)
    close_window(qtbot, window)
    assert not window.reporting.running
    assert not out.exists() or out.read_text("utf-8").endswith("</html>\n")
    assert not list(tmp_path.glob(".*.tmp"))
