"""What was open comes back: run, page, layer, moment and unfinished edits, also after a kill."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import QTimer
from pytestqt.qtbot import QtBot

from lbc.files.resources import resource
from lbc.runs.opened_run import open_run
from lbc_gui.experiment import editors
from lbc_gui.run.session import State
from lbc_gui.settings import Settings
from lbc_gui.window.last_session import SAVE_MILLISECONDS
from lbc_gui.window.main_window import MainWindow
from lbc_gui.window.session_file import DamagedSessionError, SessionFile, SessionState
from tests.gui.conftest import SECONDS, close_window, small_experiment

Open = Callable[..., MainWindow]
STATE = SessionState(experiment={"nom": "a"}, form={"name": "b"}, run="/runs/first", page=1)


def written(settings: Settings) -> SessionState:
    """What a window that is killed now leaves."""
    path = max(settings.path.parent.glob("session-*.json"), key=lambda path: path.stat().st_mtime)
    return SessionState.model_validate_json(path.read_bytes())


def test_two_windows_keep_their_own_and_the_newest_comes_back(tmp_path: Path) -> None:
    first, second = SessionFile(tmp_path), SessionFile(tmp_path)
    assert first.path != second.path
    first.write(STATE)
    other = STATE.model_copy(update={"run": "/runs/second"})
    second.write(other)
    first.close()
    third = SessionFile(tmp_path)  # not that of the window that is still open
    assert third.path == first.path and third.read() == STATE
    second.close()
    third.close()
    fourth = SessionFile(tmp_path)
    assert fourth.read() == other
    fourth.close()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\x00",
        b"[" * 100_000,
        b'{"version": 2, "experiment": {}, "form": {}}',
        b'{"experiment": 3, "form": {}}',
        b'{"experiment": {}, "form": {}, "page": -1}',
        b'{"experiment": {}, "form": {}, "epoch": NaN}',
    ],
)
def test_a_damaged_file_is_one_sentence_and_kept(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "session-1.json").write_bytes(content)
    file = SessionFile(tmp_path)
    with pytest.raises(DamagedSessionError, match=r"session-1\.json: .*kept as"):
        file.read()
    assert (tmp_path / "session-1.damaged").read_bytes() == content
    assert file.read() is None
    file.close()


def choose_much(qtbot: QtBot, window: MainWindow) -> None:
    """Pin, zoom, colour, compare, inspect, measure: whatever a user may have on screen."""
    view, pages = window.view_state, window.pages
    for block in (5, 3, 7):
        view.pin(block, beside=True)
    look = window.scores.look
    qtbot.keyClicks(look.colour, "rank")
    look.log.trigger()
    window.block.tabs.setCurrentIndex(1)
    window.experiment_panel.tabs.setCurrentIndex(1)
    pages.masks.show_.setCurrentIndex(3)
    pages.masks.compare.choice.setCurrentIndex(1)
    pages.masks.compare.go(1)
    pages.setCurrentWidget(pages.library)
    qtbot.keyClicks(pages.library.filter.line, "n:m = 2:4")
    pages.library.folded.click()
    pages.library.table.sort_wanted.emit("title")
    assert window.session.folder is not None
    model = window.session.folder / "model.safetensors"
    window.inspecting.open([model])
    qtbot.waitUntil(lambda: pages.inspector.layer.picture is not None, timeout=SECONDS)
    pages.inspector.panel.table.selectRow(1)
    pages.setCurrentWidget(pages.latency)
    pages.latency.request.shapes.setText("8x8x8")
    pages.latency.open_files(sorted(resource("measurements").glob("*.json"))[:1])
    pages.comparisons.open(window.session.folder.parent)
    pages.setCurrentIndex(0)
    qtbot.waitUntil(lambda: window.scores.heatmap.picture_size is not None, timeout=SECONDS)


def expect_much(qtbot: QtBot, window: MainWindow, state: SessionState, settings: Settings) -> None:
    """What ``choose_much`` has chosen is on screen again, page by page, and kept as before."""
    view, pages = window.view_state.view, window.pages
    assert [pin.block for pin in view.pins.all] == [5, 3, 7] and view.block == 7
    assert window.block.isVisible() and window.block.tabs.currentIndex() == 1
    assert window.scores.look.colour.currentText() == "rank in block" and view.look.log
    heatmap = pages.masks.heatmap
    qtbot.waitUntil(lambda: heatmap.visible == (4, 2, 12, 9), timeout=SECONDS)
    assert pages.masks.show_.currentText() == "mask" and pages.masks.compare.against == 1
    assert pages.library.filter.text == "n:m = 2:4" and pages.library.request.folded
    for page in (pages.inspector, pages.comparisons, pages.latency, pages.masks):
        pages.setCurrentWidget(page)
    inspector = pages.inspector
    qtbot.waitUntil(lambda: inspector.layer.picture is not None, timeout=SECONDS)
    assert inspector.shown_layer == state.pages.inspected == inspector.layers.rows[1].name
    assert pages.comparisons.folder is not None and len(pages.latency.measurements.all) == 1
    qtbot.waitUntil(lambda: written(settings) == state, timeout=SECONDS)


def edit_and_leave(qtbot: QtBot, window: MainWindow, settings: Settings) -> None:
    """Open a run's past on the page Masks, and leave an edit that is not valid."""
    window.starting.start(small_experiment(training={"epochs": 2}, schedule={"end": 1}), run=True)
    qtbot.waitUntil(lambda: window.session.state is State.FINISHED, timeout=SECONDS)
    assert window.session.folder is not None
    window.session.open(open_run(window.session.folder))
    view = window.view_state
    qtbot.waitUntil(
        lambda: window.session.state is State.OPENED and len(view.view.moments) > 2, timeout=SECONDS
    )
    view.go_to(1)
    view.open_layer(view.view.layers[1].name)
    choose_much(qtbot, window)
    window.pages.setCurrentIndex(1)
    heatmap = window.pages.masks.heatmap
    qtbot.waitUntil(lambda: heatmap.picture_size is not None, timeout=SECONDS)
    heatmap.show_cells(4, 2, 12, 9)
    form = window.experiment_panel.form
    editors.write(form.editor("seed"), 7)
    editors.write(form.editor("training.batch_size"), 0)
    assert form.experiment is None and len(form.changes) == 2
    qtbot.waitUntil(lambda: written(settings).page == 1, timeout=2000)
    qtbot.waitUntil(lambda: written(settings).form["seed"] == 7, timeout=2000)


def test_what_was_open_comes_back(qtbot: QtBot, open_window: Open, settings: Settings) -> None:
    first = open_window()
    edit_and_leave(qtbot, first, settings)
    state, folder = written(settings), first.session.folder
    assert folder is not None
    changes, layer = first.experiment_panel.form.changes, first.view_state.view.layer
    close_window(qtbot, first)
    assert written(settings) == state

    again = open_window(restores=True)
    assert again.session.folder == folder and again.pages.currentIndex() == 1
    form = again.experiment_panel.form
    assert form.changes == changes and again.experiment_panel.changes.revert.isVisible()
    assert again.session.experiment == open_run(folder).experiment  # nothing was applied
    assert again.view_state.view.layer == layer
    qtbot.waitUntil(lambda: again.view_state.view.moment == 1, timeout=SECONDS)
    expect_much(qtbot, again, state.model_copy(update={"form": written(settings).form}), settings)
    form.history.undo.trigger()
    assert not form.changes
    close_window(qtbot, again)

    folder.rename(folder.with_name("elsewhere"))
    document = json.loads(next(settings.path.parent.glob("session-*.json")).read_bytes())
    document["form"]["training"] = 3
    document["page"] = 99
    next(settings.path.parent.glob("session-*.json")).write_text(json.dumps(document))
    third = open_window(restores=True)
    assert third.view_state.view.layer == layer  # although its layers were not known at first
    assert "no longer exists" in third.message.text and "training" in third.message.text
    assert third.session.folder is None and third.experiment_panel.experiment is not None
    assert third.experiment_panel.experiment.training.epochs == 2  # what changes are compared with


def test_damaged_files_are_said_and_the_window_opens(open_window: Open, settings: Settings) -> None:
    file = SessionFile(settings.path.parent)
    file.write(STATE)
    file.close()
    settings.path.write_bytes(b"[layout\n\xff")
    damaged = Settings(settings.path)
    assert damaged.damaged and damaged.theme == "system"
    settings.damaged = damaged.damaged
    window = open_window(restores=True)
    assert (
        "session-1.json" in window.message.text and "window.ini is damaged" in window.message.text
    )
    assert window.session.experiment == small_experiment()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with a name")
def test_a_disk_that_does_not_answer_does_not_hold_the_window(
    qtbot: QtBot, open_window: Open, settings: Settings
) -> None:
    window = open_window(restores=True)
    qtbot.waitUntil(
        lambda: window.session.state is State.READY and window.complete, timeout=SECONDS
    )
    qtbot.waitUntil(lambda: any(settings.path.parent.glob("session-*.json")), timeout=SECONDS)
    (path,) = settings.path.parent.glob("session-*.json")
    pipe = path.with_name(f".{path.name}.{os.getpid()}.tmp")  # opening it waits for a reader
    qtbot.waitUntil(lambda: not pipe.exists(), timeout=SECONDS)
    os.mkfifo(pipe)
    window.pages.setCurrentWidget(window.pages.masks)
    ticks: list[float] = []
    timer = QTimer(window, interval=10)
    timer.timeout.connect(lambda: ticks.append(time.monotonic()))
    timer.start()
    qtbot.wait(3 * SAVE_MILLISECONDS)
    assert len(ticks) > 50 and written(settings).page != window.pages.currentIndex()
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(reader, "rb"):
        qtbot.waitUntil(lambda: not pipe.exists(), timeout=SECONDS)
    path.unlink()  # the pipe, which took the place of the file
    library = window.pages.indexOf(window.pages.library)
    window.pages.setCurrentIndex(library)
    close_window(qtbot, window)
    assert path.is_file() and written(settings).page == library
