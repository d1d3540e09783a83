"""The Masks page draws and counts what the library knows of each weight."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PySide6.QtCore import QPointF, Qt
from pytestqt.qtbot import QtBot

from lbc.pictures.layer_moment import Watch, past_moment
from lbc.pictures.mask_comparison import ReferenceReader
from lbc.pictures.mask_snapshot import MaskRequest, MaskSnapshot, Show
from lbc.runs.history_reader import Replay
from lbc.runs.weights import read_weights
from lbc.training.trainer import Trainer
from lbc_gui.run.session import State
from lbc_gui.window.main_window import MainWindow
from tests.gui.conftest import SECONDS, settled, small_experiment, zoom_to
from tests.training.resumption import stop_at

Open = Callable[..., MainWindow]
ALL: tuple[Show, ...] = ("weights", "sizes", "beta", "mask", "best", "magnitude")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on disk."""
    folder = tmp_path_factory.mktemp("runs") / "first"
    experiment = small_experiment(
        training={"epochs": 3, "batch_size": 800}, schedule={"end": 3, "exponent": 1}
    )
    Trainer(experiment, folder).train()
    return folder


def run_to_its_end(qtbot: QtBot, use_window: Open) -> MainWindow:
    window = use_window(small_experiment(training={"epochs": 6, "batch_size": 800}), start=True)
    qtbot.waitUntil(lambda: window.session.state is State.FINISHED, timeout=SECONDS)
    assert window.session.folder is not None
    last = len(Replay(window.session.folder).moments)
    qtbot.waitUntil(lambda: len(window.view_state.view.moments) == last, timeout=SECONDS)
    return window


def arrived(qtbot: QtBot, window: MainWindow, act: Callable[[], object]) -> MaskSnapshot:
    """The first snapshot of what the page asks for after ``act``."""
    shown: list[MaskSnapshot] = []

    def take(snapshot: object) -> None:
        if isinstance(snapshot, MaskSnapshot) and snapshot.request == window.pages.masks.request:
            shown.append(snapshot)

    window.session.snapshot_arrived.connect(take)
    act()
    qtbot.waitUntil(lambda: bool(shown), timeout=SECONDS)
    window.session.snapshot_arrived.disconnect(take)
    return shown[-1]


def test_the_page_shares_layer_block_and_time_with_the_scores(
    qtbot: QtBot, use_window: Open
) -> None:
    window = run_to_its_end(qtbot, use_window)
    layers = window.scores.list
    layers.layers.setCurrentItem(layers._entries()[1])
    window.view_state.pin(7)
    snapshot = arrived(qtbot, window, lambda: window.pages.setCurrentWidget(window.pages.masks))
    scores = window.scores.request
    assert scores is not None and vars(snapshot.request).items() >= vars(scores).items()
    assert snapshot.request.layer == window.view_state.view.layer
    assert window.scores.list.isVisible()
    assert "block 7" in window.block.title
    assert snapshot.sheet.weights is not None

    heatmap = window.pages.masks.heatmap
    point = settled(qtbot, lambda: heatmap.block_centre(11))
    qtbot.mouseClick(heatmap.viewport(), Qt.MouseButton.LeftButton, pos=point)
    qtbot.waitUntil(lambda: "block 11" in window.block.title, timeout=SECONDS)
    assert window.scores.request is not None and window.scores.request.block == 11
    window.view_state.keep_pin()
    window.view_state.pin(23)
    qtbot.waitUntil(lambda: "block 23" in window.block.title, timeout=SECONDS)
    assert tuple(heatmap._pins) == (11, 23)

    window.pages.masks.numbers.channel_chosen.emit("o", 3)
    (_, _), (top, bottom) = heatmap._box.viewRange()
    assert (top, bottom) == (3, 4)
    past = arrived(qtbot, window, lambda: window.view_state.go_to(2))
    assert past.epoch == window.view_state.view.moments[2].epoch
    assert "weights of its last checkpoint only" in window.pages.masks.note.text()
    assert window.pages.masks.note.isVisible()
    with qtbot.waitSignal(
        window.session.snapshot_arrived,
        timeout=SECONDS,
        check_params_cb=lambda arrived: arrived.request == window.scores.request,
    ) as got:
        window.pages.setCurrentIndex(0)
    assert got.args[0].epoch == past.epoch
    assert window.scores.list.isVisible()


def test_a_removed_weight_says_since_when(qtbot: QtBot, use_window: Open) -> None:
    window = run_to_its_end(qtbot, use_window)
    assert window.session.folder is not None
    said: list[str] = []
    window.pages.masks.hover_text.connect(said.append)
    window.pages.setCurrentWidget(window.pages.masks)
    masks = window.pages.masks

    def known() -> bool:
        snapshot = masks._snapshot
        if snapshot is None or snapshot.gone is None:
            return False
        return np.array_equal(snapshot.gone.when[0] > 0, ~snapshot.sheet.kept[0])

    qtbot.waitUntil(known, timeout=SECONDS)
    assert masks._snapshot is not None
    removed = int(np.flatnonzero(~masks._snapshot.sheet.kept[0])[0])
    replay = Replay(window.session.folder)
    layer = masks._snapshot.request.layer
    states = [replay.layer(layer, k).kept()[0, removed] for k in range(len(replay.moments))]
    since = replay.moments[states.index(False)].epoch
    zoom_to(masks.heatmap, 0)
    point = masks.heatmap._box.mapViewToScene(QPointF(removed + 0.5, 0.5))
    masks.heatmap._mouse_moved(point)
    assert f"removed since epoch {since:.2f}" in said[-1]
    assert said[-1].startswith(f"output 0 · input {removed} · weight ")


def test_another_moment_and_another_run_can_be_compared_with(
    qtbot: QtBot, open_window: Open
) -> None:
    window = run_to_its_end(qtbot, open_window)
    folder = window.session.folder
    assert folder is not None
    arrived(qtbot, window, lambda: window.pages.setCurrentWidget(window.pages.masks))
    compare = window.pages.masks.compare
    window.pages.masks.show_.setCurrentIndex(ALL.index("mask"))
    compare.choice.setCurrentIndex(1)
    first = arrived(qtbot, window, lambda: compare.go(0))
    assert first.other_epoch == window.view_state.view.moments[0].epoch
    assert first.numbers.flips is not None and first.numbers.flips.switched_off > 0
    beside = arrived(qtbot, window, lambda: compare.way.setCurrentIndex(1))
    assert beside.beside is not None
    left, right = window.pages.masks.heatmap, window.pages.masks.beside
    assert right.isVisible()
    zoom_to(left, 9)
    qtbot.waitUntil(lambda: right._box.viewRect() == left._box.viewRect(), timeout=SECONDS)
    near = left._box.viewRect()
    right.setFocus()
    qtbot.keyClick(right, Qt.Key.Key_Minus)
    assert left._box.viewRect() != near
    assert right._box.viewRect().width() == pytest.approx(left._box.viewRect().width())
    itself = arrived(qtbot, window, lambda: compare.compare_with(folder))
    assert itself.numbers.agreement is not None
    assert itself.numbers.agreement.blocks == 1.0
    none = arrived(qtbot, window, lambda: compare.compare_with(folder.parent))
    assert none.numbers.agreement is None
    assert "Nothing is compared" in window.pages.masks.note.text()


def test_a_run_of_another_network_is_refused_in_a_sentence(trained: Path) -> None:
    replay = Replay(trained)
    name = replay.layers[0].name
    now = past_moment(replay, Watch(name), -1, read_weights)
    references = ReferenceReader(read_weights)
    request = MaskRequest(name, show="mask", against=trained)
    found = references.find(request, None, replace(now, shape=(8, 8)))
    assert found is not None and found.moment is None
    assert "8 × 8 at 2:4" in found.problem
    found = references.find(request, None, replace(now, name="elsewhere"))
    assert found is not None and "has no sparse layer elsewhere" in found.problem
    found = references.find(request, None, replace(now, epoch=1.0))
    assert found is not None and found.moment is not None
    assert found.moment.epoch == 1.0  # as far as this one has come, though it went further


def test_a_run_on_disk_shows_the_weights_of_its_last_checkpoint(
    qtbot: QtBot, use_window: Open, trained: Path
) -> None:
    window = use_window(small_experiment())
    qtbot.waitUntil(lambda: window.session.state is State.READY, timeout=SECONDS)
    window.files.open_run(trained)
    qtbot.waitUntil(lambda: window.view_state.view.moment is not None, timeout=SECONDS)
    window.view_state.pin(7)
    last = arrived(qtbot, window, lambda: window.pages.setCurrentWidget(window.pages.masks))
    name = last.request.layer
    saved = torch.load(trained / "checkpoint.pt", weights_only=True)["model"]
    weight = saved[f"{name}.parametrizations.weight.original"]
    wanted = last.pattern.to_blocks(weight).numpy()
    assert last.sheet.weights is not None and last.block is not None
    assert (wanted[~last.sheet.kept] != 0).any()  # those that are masked too
    np.testing.assert_array_equal(last.sheet.weights, wanted)
    np.testing.assert_array_equal(last.block.weights, wanted[7])
    assert window.pages.masks.note.isHidden()
    before = arrived(qtbot, window, lambda: window.view_state.go_to(1))
    assert before.sheet.weights is None and before.block is not None
    assert before.block.weights is None
    assert "weights of its last checkpoint only" in window.pages.masks.note.text()


def test_a_run_that_was_stopped_within_an_epoch_shows_its_weights_at_its_last_moment(
    qtbot: QtBot, use_window: Open, tmp_path: Path
) -> None:
    stopped = tmp_path / "stopped"
    stop_at(12, small_experiment(training={"epochs": 60, "batch_size": 200}), stopped)
    window = use_window(small_experiment())
    window.files.open_run(stopped)
    qtbot.waitUntil(lambda: window.session.folder == stopped, timeout=SECONDS)
    qtbot.waitUntil(lambda: window.view_state.view.moment is not None, timeout=SECONDS)
    last = arrived(qtbot, window, lambda: window.pages.setCurrentWidget(window.pages.masks))
    assert last.sheet.weights is not None and window.pages.masks.note.isHidden()
    assert last.epoch % 1  # within an epoch, of which no other moment is recorded


@pytest.mark.parametrize("damage", ["missing", "foreign", "cut", "empty"])
def test_a_checkpoint_that_cannot_be_read_leaves_the_mask_alone(
    trained: Path, tmp_path: Path, damage: str
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    file = folder / "checkpoint.pt"
    if damage == "missing":
        file.unlink()
    elif damage == "foreign":
        torch.save(["something", "else"], file)
    else:
        file.write_bytes(b"" if damage == "empty" else file.read_bytes()[:-200])
    replay = Replay(folder)
    name = replay.layers[0].name
    intact = past_moment(Replay(trained), Watch(name, weights=True), -1, read_weights)
    assert intact.weights is not None
    found = past_moment(replay, Watch(name, 3, weights=True), -1, read_weights)
    assert found.weights is None and found.block_weights is None
    assert found.mask.shape == replay.layers[0].shape
