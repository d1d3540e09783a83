"""Apply now: settings of the form take effect in the run that is training."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from lbc.runs.effective_experiment import effective_experiment
from lbc.runs.interventions import read_interventions
from lbc.runs.records import read_records
from lbc_gui.run.session import State
from lbc_gui.window.main_window import MainWindow
from tests.gui.conftest import SECONDS, small_experiment
from tests.gui.experiment.test_changes import said, type_over, undo

Open = Callable[..., MainWindow]
LEFT = Qt.MouseButton.LeftButton


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
