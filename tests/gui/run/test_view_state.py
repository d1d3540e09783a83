"""Layer, pins and moment are the same on every page, whichever of them changes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import QPoint, Qt
from pytestqt.qtbot import QtBot

from lbc.pictures.mask_snapshot import MaskSnapshot
from lbc.pictures.moment_copier import Pin
from lbc.pictures.score_snapshot import Snapshot
from lbc.runs.events import LayerInfo
from lbc.runs.history_reader import MomentInfo
from lbc.sparsity.pattern import Pattern
from lbc.training.trainer import Trainer
from lbc_gui.block.block_panel import HINT
from lbc_gui.run.session import State
from lbc_gui.run.view_state import View, ViewState
from lbc_gui.window.main_window import MainWindow
from tests.gui.conftest import SECONDS, settled, small_experiment

Open = Callable[..., MainWindow]
CONV, HEAD = (
    LayerInfo("conv", (8, 16), Pattern(2, 4), 32),
    LayerInfo("head", (4, 8), Pattern(2, 4), 8),
)
MOMENTS = tuple(MomentInfo(k / 2, False, True, (6, 6)) for k in range(5))


@pytest.fixture
def state() -> ViewState:
    state = ViewState()
    state.set_layers((CONV, HEAD))
    state.set_moments(MOMENTS, 2)
    return state


def test_each_change_is_signalled_once_with_what_was_before(state: ViewState) -> None:
    told: list[tuple[View, View]] = []
    state.changed.connect(lambda before, view: told.append((before, view)))
    first = state.view
    state.pin(3)
    state.pin(3)
    state.open_layer("conv")  # it is open
    assert told == [(first, state.view)]
    assert state.view.request is not None
    assert (state.view.request.layer, state.view.request.block) == ("conv", 3)


def test_the_current_pin_is_in_the_open_layer(state: ViewState) -> None:
    state.pin(3)
    state.open_layer("head")
    assert (state.view.block, state.view.pinned_blocks) == (None, {})
    state.pin(5, beside=True)
    assert state.view.pins.all == (Pin("conv", 3), Pin("head", 5))
    state.remove_pin()
    assert (state.view.layer, state.view.block) == ("conv", 3)
    state.remove_pin()
    assert (state.view.layer, state.view.block) == ("conv", None)


def test_a_run_can_begin_and_cease_to_be_shown_live(state: ViewState) -> None:
    state.set_live(False)
    assert state.view.moment == 4
    state.set_moments((*MOMENTS, MOMENTS[-1]), 2)  # another process trains it
    assert state.view.moment == 5
    state.go_to(2)
    state.set_moments(MOMENTS, 2)
    state.set_live(True)
    assert state.view.moment == 2  # the user has gone there
    state.set_live(False)
    state.go_live()
    state.set_live(True)
    assert state.view.moment is None


def test_another_run_keeps_only_what_it_has_too(state: ViewState) -> None:
    state.pin(31)
    state.open_layer("head")
    state.pin(2, beside=True)
    state.go_to(1)
    state.begin_run(live=True)
    assert (state.view.moment, state.view.moments) == (None, ())
    state.set_layers((CONV, HEAD))  # the same network, as after Reset
    assert (state.view.layer, state.view.block) == ("head", 2)
    state.begin_run(live=False)
    state.set_layers((LayerInfo("conv", (4, 16), Pattern(2, 4), 16),))
    assert (state.view.layer, state.view.pins.all) == ("conv", ())
    state.set_moments(MOMENTS[:2], 1)
    assert state.view.moment == 1  # it is over: there is no other place to be


def finished(qtbot: QtBot, use_window: Open) -> MainWindow:
    experiment = small_experiment(training={"epochs": 5, "batch_size": 800}, schedule={"end": 4})
    window = use_window(experiment, start=True)
    qtbot.waitUntil(lambda: window.session.state is State.FINISHED, timeout=SECONDS)
    qtbot.waitUntil(lambda: window.view_state.view.moments[-1:] != (), timeout=SECONDS)
    qtbot.waitUntil(lambda: window.view_state.view.moments[-1].epoch == 5, timeout=SECONDS)
    qtbot.waitUntil(lambda: window.scores._snapshot is not None, timeout=SECONDS)
    return window


def click(
    qtbot: QtBot, window: MainWindow, block: int, key: Qt.KeyboardModifier | None = None
) -> None:
    """Click a block in the picture on screen."""
    page = window.pages.run_page
    assert page is not None
    point = settled(qtbot, lambda: page.heatmap.block_centre(block))
    modifier = Qt.KeyboardModifier.NoModifier if key is None else key
    qtbot.mouseClick(page.heatmap.viewport(), Qt.MouseButton.LeftButton, modifier, point)


def shown(window: MainWindow) -> Snapshot | MaskSnapshot | None:
    """What the page on screen has drawn."""
    page = window.pages.run_page
    assert page is not None
    return page._snapshot


def pins_on(window: MainWindow) -> set[tuple[int | None, tuple[int, ...]]]:
    """The current pin and all pins as each picture frames them."""
    masks = window.pages.masks
    pictures = (window.scores.heatmap, masks.heatmap, masks.beside)
    return {(picture._pinned, tuple(picture._pins)) for picture in pictures}


def test_a_pin_is_the_same_on_every_page(qtbot: QtBot, use_window: Open) -> None:
    window = finished(qtbot, use_window)
    click(qtbot, window, 777)
    qtbot.waitUntil(lambda: "block 777" in window.block.title, timeout=SECONDS)
    assert pins_on(window) == {(777, (777,))}
    window.pages.setCurrentWidget(window.pages.masks)
    qtbot.waitUntil(lambda: isinstance(shown(window), MaskSnapshot), timeout=SECONDS)
    found = shown(window)
    assert found is not None and found.block is not None and found.block.index == 777
    assert "block 777" in window.block.title

    click(qtbot, window, 40, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: "block 40" in window.block.title, timeout=SECONDS)
    assert pins_on(window) == {(40, (777, 40))}
    assert window.block.pins.count() == 2
    layers = window.scores.list
    layers.layers.setCurrentItem(layers._entries()[1])
    assert pins_on(window) == {(None, ())}
    assert window.block.title == HINT
    item = window.block.pins.visualItemRect(window.block.pins.item(0))
    qtbot.mouseClick(window.block.pins.viewport(), Qt.MouseButton.LeftButton, pos=item.center())
    assert pins_on(window) == {(777, (777, 40))}
    qtbot.waitUntil(lambda: "block 777" in window.block.title, timeout=SECONDS)
    assert window.scores.list.layers.currentItem() is window.scores.list._entries()[0]


def test_the_slider_moves_every_page_to_one_moment(qtbot: QtBot, use_window: Open) -> None:
    window = finished(qtbot, use_window)
    click(qtbot, window, 12)
    track, moments = window.timeline.track, window.view_state.view.moments
    height = track.height() // 2
    places = [QPoint(round(track.x_of(at)), height) for at in (len(moments) - 1, 4, 2)]
    qtbot.mousePress(track, Qt.MouseButton.LeftButton, pos=places[0])
    for place in places[1:]:
        qtbot.mouseMove(track, place)
    qtbot.mouseRelease(track, Qt.MouseButton.LeftButton, pos=places[-1])
    epoch = moments[2].epoch

    def there() -> bool:
        found = shown(window)
        return found is not None and found.epoch == epoch and found.block is not None

    qtbot.waitUntil(there, timeout=SECONDS)
    assert track.at == 2
    assert f"epoch {epoch:.2f} · 3 of {len(moments)}" == window.timeline._where.text()
    assert window.block.life.plot._now.value() == epoch
    assert window.block._snapshot is shown(window)
    window.pages.setCurrentWidget(window.pages.masks)
    qtbot.waitUntil(lambda: isinstance(shown(window), MaskSnapshot) and there(), timeout=SECONDS)
    qtbot.keyClick(track, Qt.Key.Key_Home)
    epoch = moments[0].epoch
    qtbot.waitUntil(there, timeout=SECONDS)
    window.pages.setCurrentIndex(0)
    qtbot.waitUntil(lambda: isinstance(shown(window), Snapshot) and there(), timeout=SECONDS)
    qtbot.mouseClick(window.timeline.live, Qt.MouseButton.LeftButton)
    epoch = 5.0
    qtbot.waitUntil(there, timeout=SECONDS)


def test_of_the_run_before_nothing_is_left(qtbot: QtBot, use_window: Open, tmp_path: Path) -> None:
    other = small_experiment(
        model={"name": "mlp", "width": 16, "depth": 4}, training={"epochs": 2, "batch_size": 2000},
        schedule={"end": 1},
    )  # fmt: skip
    Trainer(other, tmp_path / "other").train()
    window = finished(qtbot, use_window)
    layers = window.scores.list
    layers.layers.setCurrentItem(layers._entries()[1])
    click(qtbot, window, 200)
    qtbot.waitUntil(lambda: "block 200" in window.block.title, timeout=SECONDS)
    window.view_state.go_to(1)
    qtbot.waitUntil(lambda: window.block.life.life is not None, timeout=SECONDS)
    left: list[object] = []

    def look_for_leftovers() -> None:  # before anything of the new run has been read
        masks, scores, block = window.pages.masks, window.scores, window.block
        left.extend([scores._snapshot, masks._snapshot, scores.heatmap._fold, block.life.life])
        left.extend([scores._title.text(), block.title.replace(HINT, "")])
        left.append(block.combinations.table.rowCount())
        left.extend(entry.state or entry.flips for entry in scores.list._entries())
        left.extend([window.timeline.track.moments, masks.compare.track.moments])

    window.session.loaded.connect(look_for_leftovers)
    window.files.open_run(tmp_path / "other")
    qtbot.waitUntil(lambda: bool(left), timeout=SECONDS)
    assert not any(left), left
    assert window.progress.text() == "epoch 2.0 of 2 · finished, on disk"
    qtbot.waitUntil(lambda: shown(window) is not None, timeout=SECONDS)
    names = [entry.info.name for entry in window.scores.list._entries()]
    assert names == ["hidden.0", "hidden.1", "hidden.2"]
    assert window.block.pins.count() == 0 and pins_on(window) == {(None, ())}
    assert [moment.epoch for moment in window.timeline.track.moments][-1] == 2
    found = shown(window)
    assert found is not None and found.epoch == 2 and found.block is None


def test_nothing_is_shown_of_a_network_that_is_not_built_yet(
    qtbot: QtBot, use_window: Open
) -> None:
    window = use_window()
    qtbot.waitUntil(lambda: shown(window) is not None, timeout=SECONDS)
    window.view_state.pin(3)
    window.actions_.step.trigger()
    qtbot.waitUntil(lambda: window.progress.value() == 1, timeout=SECONDS)
    window.session.hold(small_experiment(name="another"))
    qtbot.waitUntil(lambda: window.session.state is State.WAITING, timeout=SECONDS)
    assert not window.scores.list._entries()
    assert window.progress.text() == "waiting for Run"
    assert window.curves.picture_to_save() is None
    assert window.view_state.view.request is None
    assert shown(window) is None and window.block.title == HINT
    assert window.block.pins.count() == 0 and pins_on(window) == {(None, ())}
