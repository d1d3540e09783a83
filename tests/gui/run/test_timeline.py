"""One slider shows any moment of a run again, while it trains and after."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QHelpEvent
from PySide6.QtWidgets import QApplication, QToolTip
from pytestqt.qtbot import QtBot

from lbc.files.lock import lock
from lbc.pictures.score_snapshot import THUMBNAIL_WIDTH, Snapshot, Thumbnail
from lbc.runs.events import Intervention, Steering
from lbc.runs.history_reader import MomentInfo, Replay
from lbc.runs.opened_run import open_run
from lbc_gui.app import main
from lbc_gui.run.session import State
from lbc_gui.run.timeline import Timeline
from lbc_gui.run.view_state import ViewState
from lbc_gui.theme import plot_colours
from lbc_gui.window.main_window import MainWindow
from tests.gui.conftest import SECONDS, small_experiment

Open = Callable[..., MainWindow]


def moments(count: int) -> tuple[MomentInfo, ...]:
    return tuple(MomentInfo(k / 2, k % 4 == 2, True, (count - k,)) for k in range(count))


def run_to_its_end(qtbot: QtBot, use_window: Open) -> MainWindow:
    window = use_window(small_experiment(training={"epochs": 6, "batch_size": 800}), start=True)
    qtbot.waitUntil(lambda: window.session.state is State.FINISHED, timeout=SECONDS)
    assert window.session.folder is not None
    last = len(Replay(window.session.folder).moments)
    qtbot.waitUntil(lambda: len(window.view_state.view.moments) == last, timeout=SECONDS)
    return window


def shown_at(qtbot: QtBot, window: MainWindow, moment: int | None) -> Snapshot:
    """The picture of a moment, None for the live one; others that were asked for may come first."""
    with qtbot.waitSignal(
        window.session.snapshot_arrived,
        timeout=SECONDS,
        check_params_cb=lambda arrived: arrived.request.moment == moment,
    ) as got:
        if moment is None:
            window.view_state.go_live()
        else:
            window.view_state.go_to(moment)
    snapshot = got.args[0]
    assert isinstance(snapshot, Snapshot)
    return snapshot


@pytest.fixture
def state() -> ViewState:
    """What a timeline shows: nine moments of a run that is trained."""
    state = ViewState()
    state.set_moments(moments(9), 6)
    return state


@pytest.fixture
def timeline(qtbot: QtBot, state: ViewState) -> Timeline:
    timeline = Timeline(state)
    qtbot.addWidget(timeline)
    timeline.resize(700, 40)
    timeline.show()
    return timeline


@pytest.fixture
def travelled(state: ViewState) -> list[int | None]:
    """The moments that were shown, one after the other."""
    shown: list[int | None] = []
    state.changed.connect(lambda _, view: shown.append(view.moment))
    return shown


def test_keys_and_mouse_go_from_moment_to_moment(
    qtbot: QtBot, state: ViewState, timeline: Timeline, travelled: list[int | None]
) -> None:
    track = timeline.track
    for key in (Qt.Key.Key_Left, Qt.Key.Key_Left, Qt.Key.Key_Home, Qt.Key.Key_Right):
        qtbot.keyClick(track, key)
    assert travelled == [7, 6, 0, 1]
    qtbot.mouseClick(
        track, Qt.MouseButton.LeftButton, pos=QPoint(round(track.x_of(5)), track.height() // 2)
    )
    assert state.view.moment == track.at == 5
    timeline.live.click()
    assert travelled[-1] is None
    assert track.at is None


def test_each_kind_of_intervention_has_a_mark_of_its_own(
    qtbot: QtBot, state: ViewState, timeline: Timeline
) -> None:
    pinned, banned = Intervention("pin", "layer", 3, 5), Intervention("ban", "layer", 1)
    steered = Steering((("optimizer.lr", 0.05),), (("optimizer.lr", 0.1),))
    done = [pinned, banned, None, steered]
    state.set_moments(
        tuple(
            MomentInfo(k, 0 < k < 4, True, (6,), (one,) if one else ())
            for k, one in enumerate((None, *done), start=0)
        ),
        4.5,
    )
    track, colours = timeline.track, plot_colours()
    picture = track.grab().toImage()

    def colours_near(moment: int, rows: range) -> set[str]:
        x = round(track.x_of(moment))
        columns = range(x - 2, x + 3)
        return {picture.pixelColor(column, row).name() for column in columns for row in rows}

    middle = track.height() // 2
    above, below = range(middle - 11, middle - 5), range(middle + 8, middle + 13)
    pin, ban, removal, steer = (
        colour.name() for colour in (colours.green, colours.red, colours.orange, colours.blue)
    )
    for moment, mark in ((1, pin), (2, ban), (4, steer)):
        assert mark in colours_near(moment, below)
        assert removal not in colours_near(moment, above)
    assert removal in colours_near(3, above)
    assert not {pin, ban, steer} & colours_near(3, below)
    for moment, said in (
        (1, pinned.described), (2, banned.described), (3, "were removed"),
        (4, "The learning rate was changed from 0.1 to 0.05"),
    ):  # fmt: skip
        place = QPoint(round(track.x_of(moment)), middle)
        help_ = QHelpEvent(QHelpEvent.Type.ToolTip, place, track.mapToGlobal(place))
        QApplication.sendEvent(track, help_)
        qtbot.waitUntil(lambda said=said: said in QToolTip.text(), timeout=SECONDS)  # type: ignore[misc]
    QToolTip.hideText()


def test_a_run_that_is_over_has_a_last_moment_instead(state: ViewState, timeline: Timeline) -> None:
    assert (timeline.live.text(), timeline.live.isEnabled()) == ("Live", False)
    state.begin_run(live=False)
    assert timeline.track.moments == ()
    state.set_moments(moments(6), 3)
    assert state.view.moment == 5
    state.go_to(2)
    assert (timeline.live.text(), timeline.live.isEnabled()) == ("Last", True)
    timeline.live.click()
    assert (timeline.track.at, timeline.live.isEnabled()) == (5, False)


def test_playing_goes_to_the_end_and_stops(
    qtbot: QtBot, timeline: Timeline, travelled: list[int | None]
) -> None:
    timeline.speed.setCurrentIndex(3)
    timeline.play.click()
    qtbot.waitUntil(lambda: not timeline.play.isChecked(), timeout=SECONDS)
    assert travelled == list(range(9))


def test_another_run_stops_playing(state: ViewState, timeline: Timeline) -> None:
    timeline.play.click()
    assert timeline._timer.isActive()
    state.begin_run(live=True)
    assert not timeline.play.isChecked() and not timeline._timer.isActive()


def check_scores(qtbot: QtBot, window: MainWindow, replay: Replay) -> None:
    window.view_state.pin(3)
    for moment in (0, len(replay.moments) // 2, len(replay.moments) - 1):
        snapshot = shown_at(qtbot, window, moment)
        past = replay.layer(snapshot.request.layer, moment)
        scores = past.scores()
        assert scores is not None and np.array_equal(snapshot.scores, scores)
        assert snapshot.epoch == replay.moments[moment].epoch
        assert snapshot.block is not None
        assert np.array_equal(snapshot.block.kept, past.kept()[3])


def check_thumbnails(qtbot: QtBot, window: MainWindow, replay: Replay) -> None:
    first_layer = replay.layers[0]
    scores = replay.layer(first_layer.name, 2).scores()
    assert scores is not None
    outputs = first_layer.shape[0]
    first, second = np.sort(scores, axis=1)[:, :-3:-1].T
    lead = (first - second).reshape(outputs, -1)[:: -(-outputs // 16)]
    step = -(-lead.shape[1] // THUMBNAIL_WIDTH)
    best = np.maximum.reduceat(lead, np.arange(0, lead.shape[1], step), axis=1)

    def are_of_the_moment(thumbnails: Sequence[Thumbnail]) -> bool:
        assert [one.name for one in thumbnails] == [info.name for info in replay.layers]
        codes = thumbnails[0].picture.codes.astype(int)
        return bool((np.diff(codes.ravel()[best.argsort(axis=None)]) >= 0).all())

    with qtbot.waitSignal(
        window.session.thumbnails_arrived, timeout=SECONDS, check_params_cb=are_of_the_moment
    ):
        window.view_state.go_to(2)


def check_flips(qtbot: QtBot, window: MainWindow, replay: Replay) -> None:
    """They are those of the last epoch, in every layer."""
    shown = window.scores.list
    epochs, track = [moment.epoch for moment in replay.moments], window.timeline.track

    def click(moment: int) -> None:
        place = QPoint(round(track.x_of(moment)), track.height() // 2)
        qtbot.mouseClick(track, Qt.MouseButton.LeftButton, pos=place)

    for last in (2, 5):
        click(epochs.index(last) + 1)  # within the next epoch
        qtbot.waitUntil(
            lambda: f"between epochs {last - 1} and {last}" in shown._entries()[0].toolTip(0),  # noqa: B023
            timeout=SECONDS,
        )
        for entry in shown._entries():
            before, after = (
                replay.layer(entry.info.name, epochs.index(epoch)).winners
                for epoch in (last - 1, last)
            )
            assert before is not None and after is not None
            assert entry.flips == (before != after).mean()
    click(0)
    qtbot.waitUntil(lambda: all(e.flips is None for e in shown._entries()), timeout=SECONDS)


def test_every_moment_shows_what_the_history_holds(qtbot: QtBot, use_window: Open) -> None:
    window = run_to_its_end(qtbot, use_window)
    assert window.session.folder is not None
    for check in (check_scores, check_thumbnails, check_flips):
        check(qtbot, window, Replay(window.session.folder))


def test_live_comes_back_to_the_training(qtbot: QtBot, use_window: Open) -> None:
    window = use_window(start=True)
    qtbot.waitUntil(lambda: len(window.view_state.view.moments) > 3, timeout=SECONDS)
    shown_at(qtbot, window, 1)
    known = window.view_state.view.moments[-1].epoch
    live = shown_at(qtbot, window, None)
    assert live.epoch >= known  # not what was live when the past was gone to


def test_a_run_can_be_named_on_the_command_line(
    qtbot: QtBot,
    use_window: Open,
    open_window: Open,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = run_to_its_end(qtbot, use_window).session.folder
    assert folder is not None
    run = open_run(folder)
    window = open_window(run.experiment, run=run)
    qtbot.waitUntil(lambda: window.scores._snapshot is not None, timeout=SECONDS)
    assert window.session.state is State.OPENED and not window.session.live
    assert window.scores._snapshot is not None
    assert window.scores._snapshot.epoch == 6 and window.scores._snapshot.decided

    cut_off = tmp_path / "cut off"
    shutil.copytree(folder, cut_off)
    state = (cut_off / "run.json").read_text()
    (cut_off / "run.json").write_text(state.replace('"finished"', '"running"'))
    assert open_run(cut_off).status == "cut off"
    with (cut_off / "steps.records").open("rb+") as file:
        assert lock(file)  # as the process that trains it holds it
        assert open_run(cut_off).status == "running"

    assert main(["--start", str(folder)]) == 2
    assert f"lbc train --resume {folder}" in capsys.readouterr().err
    assert main([str(tmp_path)]) == 2
    assert "holds no run" in capsys.readouterr().err


def test_a_run_on_disk_is_looked_at_like_one_that_trains(
    qtbot: QtBot, use_window: Open, tmp_path: Path
) -> None:
    window = run_to_its_end(qtbot, use_window)
    folder = window.session.folder
    assert folder is not None
    before = shown_at(qtbot, window, 4)
    with qtbot.waitSignal(
        window.session.snapshot_arrived,
        timeout=SECONDS,
        check_params_cb=lambda _: window.session.state is State.OPENED,
    ) as got:
        window.files.open_run(folder)
    assert not window.session.live
    assert window.view_state.view.moment == len(window.view_state.view.moments) - 1
    assert got.args[0].epoch == 6
    assert window.curves._series["accuracy"].x[-1] == 6
    again = shown_at(qtbot, window, 4)
    assert np.array_equal(again.scores, before.scores)

    window.files.open_run(tmp_path)  # no run: said, and the one that is open stays
    assert window.message.isVisible()
    assert window.session.folder == folder
    window.actions_.run.trigger()  # the same experiment once more
    qtbot.waitUntil(lambda: window.session.state is State.RUNNING, timeout=SECONDS)
