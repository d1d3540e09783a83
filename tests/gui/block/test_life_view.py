"""Blocks can be pinned, read since the start of the run, saved, and stepped into."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyqtgraph as pg
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QFileDialog, QToolButton
from pytestqt.qtbot import QtBot

from lbc.pictures.moment_copier import Pin
from lbc.runs.events import Intervention, LayerInfo
from lbc.runs.history_reader import Replay
from lbc.runs.history_walks import biographies
from lbc.runs.interventions import read_interventions
from lbc.runs.opened_run import open_run
from lbc.sparsity.pattern import Pattern
from lbc_gui.block.intervention_buttons import InterventionButtons
from lbc_gui.block.pins import PinList
from lbc_gui.captions import ordinal, with_minus
from lbc_gui.run.session import State
from lbc_gui.run.view_state import ViewState
from lbc_gui.window.main_window import MainWindow
from tests.gui.conftest import SECONDS, settled, small_experiment, zoom_to

Open = Callable[..., MainWindow]
FIRST, SECOND = "hidden.0", "hidden.1"


@pytest.fixture
def window(use_window: Open) -> MainWindow:
    return use_window()


def finished(qtbot: QtBot, use_window: Open) -> tuple[MainWindow, Replay]:
    experiment = small_experiment(training={"epochs": 5, "batch_size": 800}, schedule={"end": 4})
    window = use_window(experiment, start=True)
    qtbot.waitUntil(lambda: window.session.state is State.FINISHED, timeout=SECONDS)
    assert window.session.folder is not None
    return window, Replay(window.session.folder)


def standing(qtbot: QtBot, window: MainWindow, steps: int) -> None:
    """Take some steps, then stand, with a picture of just that on screen."""
    for _ in range(steps):
        window.actions_.step.trigger()
    qtbot.waitUntil(lambda: window.progress.value() == steps, timeout=SECONDS)
    qtbot.waitUntil(lambda: window.scores._snapshot is not None, timeout=SECONDS)


def test_one_that_is_not_kept_gives_way_to_the_next(qtbot: QtBot) -> None:
    state = ViewState()
    pins = PinList(state)
    qtbot.addWidget(pins)
    state.set_layers((LayerInfo("conv", (1, 4), Pattern(2, 4), 9),))
    a, b, c, d = (Pin("conv", block) for block in range(4))

    def listed() -> tuple[list[str], str]:
        """The pins as the list shows them, and the one that is selected."""
        current = pins.currentItem()
        texts = [pins.item(row).text() for row in range(pins.count())]
        return texts, "" if current is None else current.text()

    def shown(*among: Pin) -> list[str]:
        return [f"{number} · {pin.text}" for number, pin in enumerate(among, 1)]

    state.pin(0)
    state.pin(1)
    assert listed() == (shown(b), f"1 · {b.text}")
    state.keep_pin()
    state.pin(2)
    state.pin(3, True)
    assert listed() == (shown(b, c, d), f"3 · {d.text}")
    state.pin(0)
    assert listed() == (shown(b, c, a), f"3 · {a.text}")
    assert state.view.pinned_blocks == {1: 1, 2: 2, 0: 3}  # numbered alike in the pictures
    assert [pins.item(row).font().italic() for row in range(3)] == [False, False, True]
    qtbot.keyClick(pins, Qt.Key.Key_Up)
    assert state.view.pins.current == c
    qtbot.keyClick(pins, Qt.Key.Key_Delete)
    assert listed() == (shown(b, a), f"1 · {b.text}")
    state.set_layers((LayerInfo("conv", (1, 4), Pattern(2, 4), 1),))
    assert listed() == (shown(a), "")
    state.pin(0)
    state.remove_pin()
    assert listed() == ([], "")


def test_ctrl_click_pins_another_and_the_list_goes_back(qtbot: QtBot, window: MainWindow) -> None:
    heatmap, pins = window.scores.heatmap, window.block.pins
    qtbot.waitUntil(lambda: heatmap._fold is not None, timeout=SECONDS)
    for block, modifier in ((777, Qt.KeyboardModifier.NoModifier), (40, CTRL), (900, CTRL)):
        point = settled(qtbot, partial(heatmap.block_centre, block))
        qtbot.mouseClick(heatmap.viewport(), Qt.MouseButton.LeftButton, modifier, point)
        qtbot.waitUntil(lambda: block in heatmap._pins, timeout=SECONDS)  # noqa: B023
    assert list(window.view_state.view.pins.all) == [
        Pin(FIRST, 777),
        Pin(FIRST, 40),
        Pin(FIRST, 900),
    ]
    assert dict(heatmap._pins) == {777: 1, 40: 2, 900: 3}
    layers = window.scores.list
    layers.layers.setCurrentItem(layers._entries()[1])
    assert not heatmap._pins
    assert window.view_state.view.pins.current is None
    qtbot.waitUntil(lambda: heatmap._layer == SECOND, timeout=SECONDS)
    rectangle = pins.visualItemRect(pins.item(1))
    qtbot.mouseClick(pins.viewport(), Qt.MouseButton.LeftButton, pos=rectangle.center())
    qtbot.waitUntil(lambda: "block 40" in window.block.title, timeout=SECONDS)
    assert (window.view_state.view.layer, heatmap._pinned) == (FIRST, 40)


CTRL = Qt.KeyboardModifier.ControlModifier


def test_a_pin_outside_the_view_is_brought_into_it(qtbot: QtBot, window: MainWindow) -> None:
    heatmap = window.scores.heatmap
    qtbot.waitUntil(lambda: heatmap._fold is not None, timeout=SECONDS)
    zoom_to(heatmap, 0)
    before = heatmap._box.viewRect()
    window.view_state.go_to_pin(Pin(FIRST, 5000))
    after = heatmap._box.viewRect()
    assert after.contains(heatmap._rect(5000))
    assert after.size() == before.size()


def test_the_life_of_a_block_is_the_librarys(
    qtbot: QtBot, use_window: Open, tmp_path: Path
) -> None:
    window, replay = finished(qtbot, use_window)
    window.view_state.pin(300)
    view, moments = window.block.life, len(replay.moments)

    def complete() -> bool:
        return view.life is not None and len(view.life.biography.epochs) == moments

    qtbot.waitUntil(complete, timeout=SECONDS)
    life = biographies(replay, FIRST, [300])[0]
    assert view.life is not None
    assert view.life.biography.removals == life.removals
    rows = [[view.removals.table.text(row, column) for column in range(4)] for row in range(6)]
    assert rows[0][1] == "won"
    for row, one in zip(rows[:0:-1], sorted(life.removals, key=lambda at: at.moment), strict=True):
        assert row[1] == f"{one.epoch:.2f}"
    told = {(row[1], row[2], row[3]) for row in rows[1:]}
    assert told == {
        (f"{one.epoch:.2f}", f"{one.rank} of {one.of}", with_minus(f"{one.margin:+.2g}"))
        for one in life.removals
    }
    view.quantity.setCurrentIndex(1)
    assert life.scores is not None
    curves = [at for at in view.plot._plot.listDataItems() if isinstance(at, pg.PlotCurveItem)]
    assert len(curves) == 6
    for combination, curve in enumerate(curves):
        known = ~np.isnan(life.scores[:, combination])
        assert np.array_equal(curve.xData, life.epochs[known])
        assert np.array_equal(curve.yData, life.scores[known, combination].astype(float))
    window.view_state.go_to(4)
    qtbot.waitUntil(lambda: view.plot._now.value() == replay.moments[4].epoch, timeout=SECONDS)
    for quantity in (2, 3, 0):
        view.quantity.setCurrentIndex(quantity)


def test_a_run_on_disk_has_no_weights_and_this_is_said(qtbot: QtBot, use_window: Open) -> None:
    window, _ = finished(qtbot, use_window)
    view = window.block.life
    assert window.session.folder is not None
    window.session.open(open_run(window.session.folder))
    qtbot.waitUntil(lambda: window.session.state is State.OPENED, timeout=SECONDS)
    window.view_state.pin(300)
    qtbot.waitUntil(lambda: view.life is not None, timeout=SECONDS)
    assert not view.unseen.isVisibleTo(view)
    view.quantity.setCurrentIndex(3)
    assert view.unseen.isVisibleTo(view) and not view.plot._plot.listDataItems()
    life = view.life
    assert life is not None
    view.show_life(life)  # as while another process trains the run
    view.quantity.setCurrentIndex(1)
    assert not view.unseen.isVisibleTo(view) and view.plot._plot.listDataItems()


def test_a_life_that_comes_early_or_again_is_shown(qtbot: QtBot, use_window: Open) -> None:
    window, replay = finished(qtbot, use_window)
    view, moments = window.block.life, len(replay.moments)

    def shown(block: int) -> bool:
        life = view.life
        return life is not None and life.block == block and len(life.biography.epochs) == moments

    window.view_state.pin(300)
    qtbot.waitUntil(lambda: shown(300), timeout=SECONDS)
    life = view.life
    assert life is not None
    window.view_state.remove_pin()
    qtbot.waitUntil(lambda: view.life is None, timeout=SECONDS)
    window.view_state.pin(300)  # the drawing thread has told this life already
    qtbot.waitUntil(lambda: shown(300), timeout=SECONDS)
    early = replace(life, block=12)
    view.show_life(early)  # before the picture with the block has come
    assert view.life is life
    view.show_block(Pin(FIRST, 12))
    assert view.life is early


def test_pinned_blocks_are_saved_one_or_all_with_their_weights(
    qtbot: QtBot, use_window: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = small_experiment(training={"epochs": 5, "batch_size": 800}, schedule={"end": 4})
    window = use_window(experiment)
    qtbot.waitUntil(lambda: window.session.state is State.READY, timeout=SECONDS)

    def save(action: QAction, name: str) -> Path:
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / name), ""))
        action.trigger()
        qtbot.waitUntil(lambda: not window.saving.running, timeout=SECONDS)
        return tmp_path / name

    for block, beside in ((12, False), (300, True)):
        window.view_state.pin(block, beside)
        qtbot.waitUntil(lambda: f"block {block}" in window.block.title, timeout=SECONDS)  # noqa: B023
    pin = Pin(FIRST, 300)  # a look at its weights before the run, which may be too short for two
    qtbot.waitUntil(lambda: len(window.block.life.seen(pin)[0]) == 1, timeout=SECONDS)
    window.session.run()
    qtbot.waitUntil(lambda: window.session.state is State.FINISHED, timeout=SECONDS)
    assert window.session.folder is not None
    replay, view = Replay(window.session.folder), window.block.life
    moments = len(replay.moments)
    qtbot.waitUntil(
        lambda: view.life is not None and len(view.life.biography.epochs) == moments,
        timeout=SECONDS,
    )

    with np.load(save(view.save_this, "one.npz")) as arrays:
        assert int(arrays["block"]) == 300
        assert arrays["winners"].tolist() == biographies(replay, FIRST, [300])[0].winners.tolist()
        assert arrays["weights"].shape == (len(arrays["weight_epochs"]), 4)
    with np.load(save(view.save_all, "all.npz")) as arrays:
        for k, block in enumerate((12, 300)):
            life = biographies(replay, FIRST, [block])[0]
            assert int(arrays[f"{k}/block"]) == block
            assert arrays[f"{k}/winners"].tolist() == life.winners.tolist()
            seen = arrays[f"{k}/weight_epochs"]
            assert len(seen) > 1 and (np.diff(seen) > 0).all()  # of both, though one was open
    with save(view.save_all, "all.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    told = [row for row in rows if row["block"] == "12" and row["winner"]]
    assert [float(row["epoch"]) for row in told] == [one.epoch for one in replay.moments]

    (window.session.folder / "scores.history").unlink()
    none = save(view.save_all, "none.csv")
    qtbot.waitUntil(window.message.isVisible, timeout=SECONDS)
    assert not none.exists()


def test_weights_of_every_pinned_block_are_seen_during_training(
    qtbot: QtBot, window: MainWindow
) -> None:
    first, second = Pin(FIRST, 12), Pin(SECOND, 5)
    standing(qtbot, window, 1)
    window.view_state.pin(12)
    window.view_state.keep_pin()
    window.view_state.go_to_pin(second)
    view = window.block.life

    def seen_at(epoch: float) -> bool:
        """Whether both were seen after so many epochs, though one of them is open."""
        epochs = [view.seen(pin)[0] for pin in (first, second)]
        return all(len(one) > 0 and abs(one[-1] - epoch) < 1e-9 for one in epochs)

    for step in (2, 3):
        window.actions_.step.trigger()
        epoch = step * 10 / window.progress.maximum()
        qtbot.waitUntil(partial(seen_at, epoch), timeout=SECONDS)
    window.session.load(small_experiment())  # another run: nothing has been seen of it
    qtbot.waitUntil(lambda: window.session.state is State.READY, timeout=SECONDS)
    assert all(window.block.life.seen(pin)[0].size <= 1 for pin in (first, second))


def test_hovering_says_when_and_as_which_something_was_removed(
    qtbot: QtBot, use_window: Open
) -> None:
    window, replay = finished(qtbot, use_window)

    def decided() -> bool:
        # The picture may lag behind what is known of removals.
        shown = window.scores._snapshot
        if shown is None or shown.gone is None:
            return False
        alive = (shown.scores > -np.inf).sum(axis=1)
        return bool((alive == 1).all() and ((shown.gone.when > 0).sum(axis=1) == 5).all())

    qtbot.waitUntil(decided, timeout=SECONDS)
    said: list[str] = []
    window.scores.hover_text.connect(said.append)
    for block in (0, 777):
        for one in biographies(replay, FIRST, [block])[0].removals:
            assert one.rank is not None
            window.scores._hover((block, one.combination))
            assert said[-1].endswith(
                f"removed at epoch {one.epoch:.2f}, as {ordinal(one.rank)} of {one.of}"
            )


@pytest.mark.parametrize("action", ["pin", "ban"])
def test_a_combination_is_pinned_or_banned_while_training_is_paused(
    qtbot: QtBot, window: MainWindow, action: str
) -> None:
    interventions, table = window.block.interventions, window.block.combinations
    standing(qtbot, window, 2)
    window.view_state.pin(12)
    qtbot.waitUntil(lambda: "block 12" in window.block.title, timeout=SECONDS)
    assert not interventions.ban.isEnabled()
    assert "Choose a combination" in interventions.ban.toolTip()
    table.selectRow(4)
    button = interventions.pin if action == "pin" else interventions.ban
    qtbot.waitUntil(button.isEnabled, timeout=SECONDS)
    if action == "pin":
        (clicked,) = (at for at in button.associatedObjects() if isinstance(at, QToolButton))
        qtbot.mouseClick(clicked, Qt.MouseButton.LeftButton)
    else:
        qtbot.keyClick(
            table,
            Qt.Key.Key_B,
            Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier,
        )

    def lives() -> list[int]:
        snapshot = window.scores._snapshot
        assert snapshot is not None
        return np.flatnonzero(snapshot.scores[12] > -np.inf).tolist()

    expected = [4] if action == "pin" else [0, 1, 2, 3, 5]
    qtbot.waitUntil(lambda: lives() == expected, timeout=SECONDS)
    assert window.session.folder is not None
    (done,) = read_interventions(window.session.folder)
    wish = done.intervention
    assert isinstance(wish, Intervention)
    assert (wish.action, wish.layer, wish.combination, wish.block) == (action, FIRST, 4, 12)
    assert done.step == 2
    assert "Combination 4 was" in window.log.toPlainText()
    track = window.timeline.track
    qtbot.waitUntil(lambda: len(track.moments) > done.moment, timeout=SECONDS)
    assert track.moments[done.moment].interventions == (wish,)
    said = track.described(track.x_of(done.moment)).splitlines()
    assert said[0] == f"Epoch 0.10: {wish.described}"
    view = window.block.life
    qtbot.waitUntil(
        lambda: view.life is not None and len(view.life.biography.interventions) == 1,
        timeout=SECONDS,
    )
    causes = {view.removals.table.text(row, 1) for row in range(6)}
    assert f"{action} 0.10" in causes
    assert ("was pinned at epoch 0.10" if action == "pin" else "leads since") in view.summary.text()
    assert not button.isEnabled()
    window.session.run()
    qtbot.waitUntil(lambda: "Pause" in button.toolTip(), timeout=SECONDS)


def test_what_cannot_be_is_said_and_the_past_stays_as_it_was(
    qtbot: QtBot, window: MainWindow
) -> None:
    interventions = window.block.interventions
    window.view_state.pin(3)
    qtbot.waitUntil(lambda: "block 3" in window.block.title, timeout=SECONDS)
    window.block.combinations.selectRow(1)
    qtbot.waitUntil(interventions.pin.isEnabled, timeout=SECONDS)
    interventions.scope.setCurrentIndex(1)
    interventions.pin.trigger()  # before the first step: the run begins with it
    assert interventions.scope.currentIndex() == 0
    qtbot.waitUntil(lambda: len(window.view_state.view.moments) == 2, timeout=SECONDS)
    assert window.session.state is State.PAUSED
    interventions.requested.emit(next(iter(read_interventions(window.session.folder))).intervention)  # type: ignore[arg-type]
    qtbot.waitUntil(window.message.isVisible, timeout=SECONDS)
    window.view_state.go_to(0)
    qtbot.waitUntil(lambda: "Live" in interventions.ban.toolTip(), timeout=SECONDS)
    assert not interventions.ban.isEnabled()


def test_another_combination_leaves_the_buttons_as_they_are(qtbot: QtBot) -> None:
    """Each change of an action that a tool button shows costs memory that Qt never frees."""
    buttons = InterventionButtons()
    qtbot.addWidget(buttons)
    changes: list[None] = []
    for action in (buttons.pin, buttons.ban):
        action.changed.connect(lambda: changes.append(None))
    for combination in range(5):
        buttons.choose(combination)
        buttons.show_snapshot(None)
    assert not changes
    buttons.allow(True)
    assert changes
