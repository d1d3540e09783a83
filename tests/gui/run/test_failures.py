"""A failure in a thread becomes a sentence in the window, and everything else keeps working."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from lbc.pictures import moment_copier
from lbc.pictures.score_snapshot import Snapshot
from lbc.runs.events import Untrained
from lbc.runs.history_reader import FILE, Replay
from lbc.runs.opened_run import open_run
from lbc_gui.run import renderer
from lbc_gui.run.session import State
from lbc_gui.window.main_window import MainWindow
from tests.gui.conftest import SECONDS, small_experiment
from tests.gui.run.test_timeline import run_to_its_end, shown_at

Open = Callable[..., MainWindow]

OPENED: list[str] = []
"""Every file that the process has opened since the list was cleared."""


@pytest.fixture
def count_reads(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], int]:
    """How often a file has been opened since the test began."""
    if not hasattr(sys, "lbc_counts_reads"):
        sys.addaudithook(lambda name, args: OPENED.append(str(args[0])) if name == "open" else None)
        sys.lbc_counts_reads = True  # type: ignore[attr-defined]
    OPENED.clear()
    return lambda path: OPENED.count(str(path))


@pytest.fixture
def window(use_window: Open) -> MainWindow:
    return use_window()


def damage(folder: Path, layer: int, moment: int) -> None:
    """Change one byte of what the history says of a layer at a moment."""
    replay = Replay(folder)
    place = int(replay._frames[moment].starts[layer])
    assert replay._frames[moment].records[layer]["winners"] > 0
    content = bytearray((folder / FILE).read_bytes())
    content[place] ^= 0x15
    (folder / FILE).write_bytes(content)


def told(qtbot: QtBot, window: MainWindow, words: str) -> None:
    """Wait for a sentence in the message bar, then dismiss it."""
    qtbot.waitUntil(
        lambda: window.message.isVisible() and words in window.message.text, timeout=SECONDS
    )
    assert words in window.log.toPlainText()
    window.message.hide()


def changed_moment(replay: Replay) -> int:
    """The first moment after the start at which the history says something of the first layer."""
    return next(
        k for k in range(1, len(replay.moments)) if replay._frames[k].records[0]["winners"] > 0
    )


def test_a_damaged_byte_in_the_history_costs_the_pictures_that_need_it_only(
    qtbot: QtBot, use_window: Open, tmp_path: Path
) -> None:
    window = run_to_its_end(qtbot, use_window)
    folder = window.session.folder
    assert folder is not None
    whole = Path(shutil.copytree(folder, tmp_path / "whole"))
    at = changed_moment(Replay(folder))
    damage(folder, 0, at)
    window.view_state.go_to(at)
    told(qtbot, window, f"{FILE} is damaged: layer 'hidden.0' cannot be read")
    assert shown_at(qtbot, window, 0).request.moment == 0
    window.view_state.go_to(at)
    told(qtbot, window, "is damaged")
    with qtbot.waitSignal(
        window.session.snapshot_arrived,
        timeout=SECONDS,
        check_params_cb=lambda arrived: arrived.request.layer == "hidden.1",
    ) as got:
        window.view_state.open_layer("hidden.1")
    assert got.args[0].request.moment == at
    shown_at(qtbot, window, None)
    window.session.open(open_run(whole))
    qtbot.waitUntil(lambda: window.session.state is State.OPENED, timeout=SECONDS)
    qtbot.waitUntil(lambda: window.view_state.view.moment is not None, timeout=SECONDS)
    assert shown_at(qtbot, window, at).request.moment == at
    assert not window.message.isVisible()


def test_a_history_that_ends_in_damage_is_reported(
    qtbot: QtBot, use_window: Open, tmp_path: Path
) -> None:
    window = run_to_its_end(qtbot, use_window)
    assert window.session.folder is not None
    folder = Path(shutil.copytree(window.session.folder, tmp_path / "damaged"))
    content = bytearray((folder / FILE).read_bytes())
    content[Replay(folder)._frames[2].begin] ^= 1
    (folder / FILE).write_bytes(content)
    window.session.open(open_run(folder))
    told(qtbot, window, f"{FILE} is damaged: its moments after epoch")
    assert len(window.view_state.view.moments) == 2


def test_a_run_folder_that_is_deleted_is_reported_and_another_run_can_be_opened(
    qtbot: QtBot, use_window: Open, tmp_path: Path
) -> None:
    window = run_to_its_end(qtbot, use_window)
    folder = window.session.folder
    assert folder is not None
    kept = Path(shutil.copytree(folder, tmp_path / "kept"))
    shutil.rmtree(folder)
    window.view_state.go_to(1)
    missing = "cannot be read (No such file or directory): check the path."
    told(qtbot, window, f"{folder / FILE} {missing}")
    shown_at(qtbot, window, None)
    window.session.open(open_run(kept))
    qtbot.waitUntil(lambda: window.view_state.view.moment is not None, timeout=SECONDS)
    assert shown_at(qtbot, window, 1).request.moment == 1


def test_of_an_opened_run_that_is_deleted_what_was_drawn_stays(
    qtbot: QtBot, use_window: Open, tmp_path: Path
) -> None:
    window = run_to_its_end(qtbot, use_window)
    assert window.session.folder is not None
    folder = Path(shutil.copytree(window.session.folder, tmp_path / "kept"))
    window.session.open(open_run(folder))
    qtbot.waitUntil(lambda: window.session.folder == folder, timeout=SECONDS)
    qtbot.waitUntil(lambda: window.scores._snapshot is not None, timeout=SECONDS)
    fork, prune = window.timeline.fork, window.actions_.prune
    qtbot.waitUntil(fork.isEnabled, timeout=SECONDS)
    assert prune.isEnabled() and window.actions_.save_report.isEnabled()
    last = window.view_state.view.moment
    assert last is not None
    shutil.rmtree(folder)
    told(qtbot, window, f"The run {folder} was deleted or moved: what is on screen of it stays")
    assert window.progress.text().endswith("· deleted")
    for action in (fork, prune, window.actions_.save_report):
        assert not action.isEnabled()
        assert "was deleted or moved" in action.toolTip()
    sentence = window.scores.heatmap.sentence
    for moment, said in ((0, True), (last, False)):
        window.view_state.go_to(moment)
        assert sentence.isVisible() == said
        assert said == ("can no longer be read" in sentence.text())
    window.pages.setCurrentWidget(window.pages.masks)
    assert window.pages.masks.heatmap.sentence.isVisible()
    assert "can no longer be read" in window.pages.masks.heatmap.sentence.text()
    window.pages.setCurrentIndex(0)
    run_to_its_end(qtbot, use_window)
    qtbot.waitUntil(fork.isEnabled, timeout=SECONDS)
    assert not window.pages.masks.heatmap.sentence.text()


def test_a_run_without_a_history_says_why_there_is_nothing_to_see(
    qtbot: QtBot, use_window: Open
) -> None:
    window = run_to_its_end(qtbot, use_window)
    folder = window.session.folder
    assert folder is not None
    run = open_run(folder)
    (folder / FILE).unlink()
    window.session.open(run)
    told(qtbot, window, "no moment of this run can be shown again")


def test_a_damaged_history_is_not_read_in_a_circle(
    qtbot: QtBot, use_window: Open, count_reads: Callable[[Path], int]
) -> None:
    window = run_to_its_end(qtbot, use_window)
    folder = window.session.folder
    assert folder is not None
    undamaged = (folder / FILE).read_bytes()
    damage(folder, 0, changed_moment(Replay(folder)))
    shown_at(qtbot, window, 0)
    window.view_state.pin(5)
    told(qtbot, window, "is damaged")
    qtbot.wait(300)
    before = count_reads(folder / FILE)
    qtbot.wait(1500)
    assert count_reads(folder / FILE) - before < 10  # it is only checked for new moments
    (folder / FILE).write_bytes(undamaged)
    moments = len(Replay(folder).moments)
    qtbot.waitUntil(
        lambda: (
            window.block.life.life is not None
            and len(window.block.life.life.biography.epochs) == moments
        ),
        timeout=SECONDS,
    )


def test_a_picture_that_cannot_be_drawn_does_not_end_the_drawing(
    qtbot: QtBot, use_window: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = run_to_its_end(qtbot, use_window)

    def fails(*_: object) -> Snapshot:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(renderer, "draw", fails)
        window.view_state.go_to(1)
        told(qtbot, window, "The view could not be drawn: there is not enough memory.")
    assert shown_at(qtbot, window, 2).request.moment == 2


def test_a_copy_that_fails_does_not_end_the_training(
    qtbot: QtBot, use_window: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(moment_copier, "RETRY_SECONDS", 0.2)
    with monkeypatch.context() as patch:
        patch.setattr(moment_copier, "copy_moment", fails)
        window = use_window(
            small_experiment(training={"epochs": 5, "batch_size": 800}, schedule={"end": 4}),
            start=True,
        )
        qtbot.waitUntil(lambda: window.session.state is State.FINISHED, timeout=SECONDS)
        told(qtbot, window, "could not be copied to show it: there is not enough memory.")
    with qtbot.waitSignal(window.session.snapshot_arrived, timeout=SECONDS):
        pass  # once there is memory again


def test_layers_that_nothing_trains_are_named_in_the_window(
    qtbot: QtBot, window: MainWindow
) -> None:
    window.session.events_arrived.emit([Untrained("No score of layer 'idle' was updated.")])
    told(qtbot, window, "layer 'idle'")
