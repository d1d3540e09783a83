"""The Masks page draws and counts what the library knows of each weight."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PySide6.QtCore import QPointF, Qt
from pytestqt.qtbot import QtBot

from lbc.pictures.layer_copy import copy_moment
from lbc.pictures.layer_moment import Watch, past_moment
from lbc.pictures.level_of_detail import reduce_codes
from lbc.pictures.mask_colours import GAINED, LOST, SAME
from lbc.pictures.mask_comparison import ReferenceReader
from lbc.pictures.mask_snapshot import MaskRequest, MaskSnapshot, Reference, Show, draw_mask
from lbc.pictures.score_codes import LOWEST, REMOVED
from lbc.runs.history_reader import Replay
from lbc.runs.layer_moment import LayerMoment
from lbc.runs.weights import read_weights
from lbc.sparsity.blocks import block_coordinates
from lbc.sparsity.sparsification import sparsify
from lbc.sparsity.sparsifier import Sparsifier
from lbc.training.trainer import Trainer
from lbc_gui.masks.mask_view import MaskView
from lbc_gui.run.session import State
from lbc_gui.run.view_state import ViewState
from lbc_gui.window.main_window import MainWindow
from tests.gui.conftest import SECONDS, settled, small_experiment, zoom_to
from tests.training.resumption import stop_at

Open = Callable[..., MainWindow]
ALL: tuple[Show, ...] = ("weights", "sizes", "beta", "mask", "best", "magnitude")


def searched(pattern: str = "2:4", live: int = 1, seed: int = 3) -> Sparsifier:
    torch.manual_seed(seed)
    sparsifier = sparsify(torch.nn.Conv2d(16, 6, (3, 2)), pattern, scores="per_weight")
    parameter = sparsifier.layers[""].score_parameter()
    with torch.no_grad():
        parameter.add_(torch.randn_like(parameter))
    sparsifier.remove(live)
    return sparsifier


def dense_weight(sparsifier: Sparsifier) -> torch.Tensor:
    return sparsifier.dense_weight("").detach()


def moment_of(sparsifier: Sparsifier, epoch: float = 0.0) -> LayerMoment:
    moment = copy_moment(sparsifier, MaskRequest("").watch, epoch)
    assert moment is not None
    return moment


def drawn(moment: LayerMoment, show: Show, other: LayerMoment | None = None) -> MaskSnapshot:
    request = MaskRequest("", block=5, show=show, against=None if other is None else 0)
    return draw_mask(moment, request, None if other is None else Reference(other))


def each_cell(snapshot: MaskSnapshot) -> Iterator[tuple[int, int, int, tuple[int, ...]]]:
    """Code, block, position and place in the weight of every cell of the picture."""
    sheet = snapshot.sheet
    for (y, x), code in np.ndenumerate(sheet.cells.codes):
        found = sheet.fold.locate(y, x)
        assert found is not None
        block, position = found
        places = block_coordinates(sheet.shape, sheet.pattern, block)
        yield int(code), block, position, places[position]


@pytest.mark.parametrize("show", ["weights", "sizes", "beta"])
def test_removed_weights_have_a_look_of_their_own_and_others_keep_their_order(show: Show) -> None:
    sparsifier = searched(live=3)
    layer, kept = sparsifier.layers[""], sparsifier.mask("")
    snapshot = drawn(moment_of(sparsifier), show)
    weight = dense_weight(sparsifier)
    start = layer.pattern.initial_score / layer.pattern.n
    gained = layer.pattern.from_blocks(layer.position_scores().detach() - start, layer.shape)
    values = {"weights": weight, "sizes": weight.abs(), "beta": gained}[show]
    pairs = []
    for code, _, _, place in each_cell(snapshot):
        assert (code == REMOVED) == (not kept[place])
        if kept[place]:
            pairs.append((float(values[place]), code))
    codes = [code for _, code in sorted(pairs)]
    assert codes == sorted(codes)
    assert codes[-1] - codes[0] > 200
    assert not snapshot.sheet.cells.codes.flags.writeable


def test_each_block_is_filled_with_the_colour_of_its_best_combination() -> None:
    sparsifier = searched(live=3)
    winners = sparsifier.layers[""].winners().tolist()
    snapshot = drawn(moment_of(sparsifier), "best")
    assert all(code == LOWEST + winners[block] for code, block, *_ in each_cell(snapshot))
    blocks = snapshot.sheet.summary.codes.ravel().tolist()
    assert blocks == [LOWEST + winner for winner in winners]
    found = snapshot.numbers.winners
    assert found is not None
    assert found.counts.tolist() == [winners.count(c) for c in range(6)]
    assert found.expected == len(winners) / 6


def test_what_magnitude_would_have_kept_differs_from_what_the_mask_keeps() -> None:
    sparsifier = searched()
    layer = sparsifier.layers[""]
    weights = layer.pattern.to_blocks(dense_weight(sparsifier))
    mask = layer.pattern.to_blocks(layer.mask).tolist()
    same = 0
    for code, block, position, _ in each_cell(drawn(moment_of(sparsifier), "magnitude")):
        largest = sorted(range(4), key=lambda j: -abs(float(weights[block, j])))[:2]
        kind = (position in largest, mask[block][position])
        assert code == {
            (True, True): SAME, (True, False): LOST, (False, True): GAINED, (False, False): REMOVED
        }[kind]  # fmt: skip
        same += kind[0] == kind[1]
    numbers = drawn(moment_of(sparsifier), "magnitude").numbers
    assert numbers.magnitude is not None
    assert numbers.magnitude.positions == pytest.approx(same / layer.mask.numel())


def test_a_mask_of_fewer_than_n_is_compared_with_as_many_by_magnitude() -> None:
    sparsifier = sparsify(torch.nn.Linear(8, 4), "3:4", "elsa")
    sparsifier.layers[""].keep(1)  # type: ignore[operator]
    numbers = drawn(moment_of(sparsifier), "magnitude").numbers
    assert numbers.magnitude is not None and numbers.magnitude.positions == 1
    assert numbers.density == numbers.magnitude.chance_blocks == 0.25


def test_two_moments_are_drawn_as_a_difference_or_side_by_side() -> None:
    before, after = searched(live=6), searched(live=1)
    then, now = moment_of(before, 1.0), moment_of(after, 2.0)
    snapshot = drawn(now, "mask", then)
    for code, _, _, place in each_cell(snapshot):
        assert code == (SAME if now.mask[place] else LOST)
    assert snapshot.numbers.flips is not None
    assert snapshot.numbers.flips.switched_off == now.mask.size - now.mask.sum()
    assert snapshot.numbers.flips.switched_on == 0
    request = MaskRequest("", show="weights", against=0, beside=True)
    both = draw_mask(now, request, Reference(then))
    assert both.beside is not None
    assert both.beside.cells.scale == both.sheet.cells.scale  # the same colours mean the same
    assert np.array_equal(both.beside.kept, then.kept())
    assert (both.epoch, both.beside.epoch) == (2.0, 1.0)


def test_many_combinations_can_be_looked_at_too() -> None:
    moment = moment_of(searched("4:16", live=40))
    for show in ALL:
        snapshot = drawn(moment, show)
        assert snapshot.note == ""
    found = snapshot.numbers.winners
    assert found is not None and found.by_position
    assert found.counts.sum() == 4 * moment.blocks
    assert found.expected == moment.blocks / 4


def test_dead_channels_are_found() -> None:
    moment = moment_of(searched("1:4"))
    mask = moment.mask.copy()
    mask[2] = False
    mask[:, 7] = False
    numbers = drawn(replace(moment, mask=mask), "mask").numbers
    assert 2 in numbers.dead_outputs
    assert 7 in numbers.dead_inputs
    assert numbers.density == mask.mean()
    assert not numbers.decided


def test_a_dead_input_is_shown_at_one_kernel_position_after_the_other(
    qtbot: QtBot, tmp_path: Path
) -> None:
    moment = moment_of(searched())
    page = MaskView(ViewState(), tmp_path)
    qtbot.addWidget(page)
    page.show_snapshot(drawn(moment, "weights"))
    said: list[str] = []
    page.hover_text.connect(said.append)
    seen = []
    for _ in range(7):
        page.numbers.channel_chosen.emit("i", 6)
        (left, right), (top, bottom) = page.heatmap._box.viewRange()
        assert (top, bottom, right - left) == (0, 6, 4)
        sheet = drawn(moment, "weights").sheet
        found = sheet.fold.locate(0, int(left) + 6 % 4)
        assert found is not None
        seen.append(block_coordinates(sheet.shape, sheet.pattern, found[0])[found[1]])
    assert seen[:6] == [(0, 6, y, x) for y in range(3) for x in range(2)]
    assert seen[6] == seen[0]
    assert "kernel 0, 1, position 2 of 6" in said[1]


def test_levels_and_kinds_are_reduced_each_in_its_way() -> None:
    codes = np.array([[10, 250, 128, 120], [120, 100, 129, 140]], np.uint8)
    assert reduce_codes(codes, 2, 2, "furthest").tolist() == [[250, 140]]
    assert reduce_codes(255 - codes + 2, 2, 2, "furthest").tolist() == [[7, 117]]
    assert reduce_codes(codes, 2, 2, "sample").tolist() == [[10, 128]]


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
    with qtbot.waitSignal(window.session.snapshot_arrived, timeout=SECONDS) as got:
        window.pages.setCurrentIndex(0)
    assert got.args[0].request == window.scores.request
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
