"""The heatmap and the pinned block show the library's own numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import numpy as np
import pytest
import torch
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from lbc.pictures.colour_keys import Scale, combination_colours, winner_codes
from lbc.pictures.glyphs import glyphs
from lbc.pictures.layer_copy import copy_moment, copy_sample
from lbc.pictures.layer_moment import Watch
from lbc.pictures.score_codes import HIGHEST, LOWEST, REMOVED, Colour, Fold, Summary, summarise
from lbc.pictures.score_snapshot import Look, Snapshot, ViewRequest, draw, draw_thumbnail
from lbc.runs.events import LayerInfo
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.sparsification import sparsify
from lbc.sparsity.sparsifier import Sparsifier
from lbc_gui.block.block_panel import HINT
from lbc_gui.captions import ordinal, place
from lbc_gui.heatmap.layer_list import LayerList
from lbc_gui.scores.look_bar import SUMMARIES
from lbc_gui.window.main_window import MainWindow
from tests.gui.conftest import SECONDS, settled, small_experiment, zoom_to

Open = Callable[..., MainWindow]


def searched_layer(pattern: str = "2:4", live: int = 3, form: str = "per_weight"):  # type: ignore[no-untyped-def]
    torch.manual_seed(3)
    layer = torch.nn.Linear(16, 8)
    sparsifier = sparsify(layer, pattern, scores=form)  # type: ignore[arg-type]
    parameter = sparsifier.layers[""].score_parameter()
    with torch.no_grad():
        parameter.add_(torch.randn_like(parameter))
    sparsifier.remove(live)
    return sparsifier


def drawn(sparsifier: Sparsifier, request: ViewRequest, epoch: float = 0.0) -> Snapshot:
    moment = copy_moment(sparsifier, request.watch, epoch)
    assert moment is not None
    return draw(moment, request)


def test_a_snapshot_is_a_copy_of_the_librarys_scores() -> None:
    sparsifier = searched_layer()
    snapshot = drawn(sparsifier, ViewRequest("", block=5), 1.5)
    scores = sparsifier.scores("").numpy()
    assert np.array_equal(snapshot.scores, scores)
    assert not snapshot.scores.flags.writeable
    assert not snapshot.cells.codes.flags.writeable
    weight = sparsifier.model.parametrizations.weight.original
    weights = sparsifier.layers[""].pattern.to_blocks(weight.detach().clone())
    with torch.no_grad():
        sparsifier.layers[""].score_parameter().zero_()
        weight.zero_()
    assert np.array_equal(snapshot.scores, scores)
    assert snapshot.block is not None and snapshot.block.weights is not None
    assert np.array_equal(snapshot.block.scores, scores[5])
    assert np.array_equal(snapshot.block.weights, weights[5].numpy())
    mask = sparsifier.layers[""].pattern.to_blocks(sparsifier.mask(""))
    assert np.array_equal(snapshot.block.kept, mask[5].numpy())
    removed = Fold(8, 32, 6).apply(np.where(scores == -np.inf, 1, 9).astype(np.uint8)) == 1
    assert np.array_equal(snapshot.cells.codes == REMOVED, removed)


@pytest.mark.parametrize("form", ["per_weight", "per_combination"])
@pytest.mark.parametrize("shape", [(6, 8), (4, 8, 3), (4, 8, 3, 2)])
def test_scores_of_any_layer_are_the_librarys_to_the_last_bit(
    form: str, shape: tuple[int, ...]
) -> None:
    torch.manual_seed(1)
    kinds = {2: torch.nn.Linear, 3: torch.nn.Conv1d, 4: torch.nn.Conv2d}
    layer = kinds[len(shape)](shape[1], shape[0], *([shape[2:]] if len(shape) > 2 else []))
    sparsifier = sparsify(layer, "4:8", scores=form)  # type: ignore[arg-type]
    parameter = sparsifier.layers[""].score_parameter()
    with torch.no_grad():
        parameter.add_(torch.randn_like(parameter))
    sparsifier.remove(9)
    moment = copy_moment(sparsifier, Watch(""), 0.0)
    assert moment is not None
    scores, live = moment.scores(), moment.live()
    assert scores is not None and live is not None
    assert np.array_equal(scores, sparsifier.scores("").numpy())
    assert np.array_equal(live, sparsifier.live("").numpy())
    kept = sparsifier.layers[""].pattern.to_blocks(sparsifier.mask(""))
    assert np.array_equal(moment.kept(), kept.numpy())
    positions = moment.positions()
    assert positions is not None
    np.testing.assert_allclose(positions, sparsifier.layers[""].position_scores(), rtol=1e-6)


def test_too_many_combinations_are_drawn_by_position() -> None:
    sparsifier = searched_layer("4:16", live=100)
    snapshot = drawn(sparsifier, ViewRequest(""))
    assert snapshot.by_position
    kept = snapshot.scores > -np.inf
    assert np.array_equal(kept, sparsifier.mask("").numpy())


def test_the_default_look_is_the_lead_on_a_scale_from_0() -> None:
    snapshot = drawn(searched_layer(), ViewRequest(""))
    first, second = np.sort(snapshot.scores, axis=1)[:, :-3:-1].T
    lead, scale = (first - second).reshape(8, 4), snapshot.summary.scale
    assert isinstance(scale, Scale) and scale.low == 0 and not scale.removed
    assert 0.8 * lead.max() < scale.high <= lead.max()
    expected = LOWEST + (HIGHEST - LOWEST) * np.minimum(lead / scale.high, 1)
    assert np.abs(snapshot.summary.codes - expected).max() <= 0.51


@pytest.mark.parametrize("colour", ["difference", "margin"])
@pytest.mark.parametrize(("summary", "sign"), [("best", 1), ("worst", -1)])
@pytest.mark.parametrize("held", [None, (-2.0, 2.0)])
def test_a_scale_has_no_half_that_cannot_occur(
    colour: Colour, summary: Summary, sign: int, held: tuple[float, float] | None
) -> None:
    snapshot = drawn(searched_layer(), ViewRequest("", Look(colour, summary, held=held)))
    cells, blocks = snapshot.cells.scale, snapshot.summary.scale
    assert isinstance(cells, Scale) and cells.low == -cells.high
    assert isinstance(blocks, Scale) and sorted((blocks.low * sign, blocks.high * sign))[0] == 0
    assert held is None or blocks.high - blocks.low == 2.0
    if held is None:  # all of the scale is used
        assert np.ptp(snapshot.summary.codes) > 0.7 * (HIGHEST - LOWEST)


@pytest.mark.parametrize("summary", get_args(Summary))
def test_the_summary_has_one_cell_for_every_block(summary: Summary) -> None:
    sparsifier = searched_layer()
    snapshot = drawn(sparsifier, ViewRequest("", Look("score", summary)))
    assert snapshot.summary.codes.shape == (8, 4)
    spoken = summarise(snapshot.scores, summary).reshape(8, 4)
    order = np.argsort(spoken, axis=None)
    assert (np.diff(snapshot.summary.codes.ravel()[order].astype(int)) >= 0).all()


def test_held_levels_stay_while_scores_move() -> None:
    look = Look("score", held=(0.1, 0.9))
    scale = drawn(searched_layer(), ViewRequest("", look)).cells.scale
    assert isinstance(scale, Scale) and (scale.low, scale.high) == (0.1, 0.9)


@pytest.mark.parametrize("pattern", ["2:4", "3:8", "4:16"])
def test_a_decided_block_is_filled_with_its_winners_colour(pattern: str) -> None:
    sparsifier = searched_layer(pattern, live=1)
    winners = sparsifier.layers[""].winners()
    colours = winner_codes(winners.numpy(), Pattern.parse(pattern))
    alike: tuple[Colour, ...] = ("difference", "rank", "margin")
    for colour in alike:
        snapshot = drawn(sparsifier, ViewRequest("", Look(colour)))
        assert snapshot.decided and snapshot.reduction == "sample"
        assert snapshot.summary.codes.ravel().tolist() == colours.tolist()
        rows, columns = snapshot.fold.grid
        for block, code in enumerate(colours):  # unused cells of its grid too
            y, x = snapshot.fold.corner(block)
            assert (snapshot.cells.codes[y : y + rows, x : x + columns] == code).all()
    sample = copy_sample(sparsifier.layers[""], 1.0)
    thumbnail = draw_thumbnail(sample, Look())
    assert set(thumbnail.picture.codes.ravel()) <= set(colours.tolist())
    for look in (Look("score"), Look(held=(-1.0, 1.0))):
        snapshot = drawn(sparsifier, ViewRequest("", look))
        assert not snapshot.decided and isinstance(snapshot.summary.scale, Scale)


@pytest.mark.parametrize("kept", [1, 4])
def test_winners_are_seen_where_a_decided_mask_keeps_another_number_than_n(kept: int) -> None:
    sparsifier = sparsify(torch.nn.Linear(16, 6), "2:4", "elsa")
    layer = sparsifier.layers[""]
    layer.keep(kept)  # type: ignore[operator]
    assert not drawn(sparsifier, ViewRequest("", Look())).decided
    layer.remove(1)
    snapshot = drawn(sparsifier, ViewRequest("", Look()))
    colours = winner_codes(layer.winners().numpy(), Pattern(2, 4))
    assert snapshot.decided and snapshot.summary.codes.ravel().tolist() == colours.tolist()


@pytest.mark.parametrize("pattern", ["2:4", "3:8", "4:16"])
def test_a_block_decided_before_the_others_has_its_winners_colour(pattern: str) -> None:
    sparsifier = searched_layer(pattern, live=3)
    best = int(sparsifier.layers[""].winners()[5])
    sparsifier.pin("", best, 5)
    moment = copy_moment(sparsifier, Watch("", None), 0.0)
    assert moment is not None
    winner = combination_colours(np.array([best]), sparsifier.layers[""].pattern)[0].tolist()
    looks = [Look(colour) for colour in ("margin", "difference", "rank")]
    for look in looks:
        snapshot = draw(moment, ViewRequest("", look))
        assert snapshot.reduction == "sample" and not snapshot.decided
        for picture, step in ((snapshot.cells, snapshot.fold.grid), (snapshot.summary, (1, 1))):
            coloured = picture.scale.table((0, 0, 0))[picture.codes]
            row, column = divmod(5, snapshot.fold.blocks_per_row)
            of_block = np.s_[
                row * step[0] : (row + 1) * step[0], column * step[1] : (column + 1) * step[1]
            ]
            assert np.abs(coloured[of_block].astype(int) - winner).max() < 8
            others = np.ones(picture.codes.shape, bool)
            others[of_block] = False
            assert picture.codes[others].max() <= picture.scale.highest  # type: ignore[union-attr]
    for look in (Look("score"), Look(held=(-1.0, 1.0))):
        scale = draw(moment, ViewRequest("", look)).summary.scale
        assert isinstance(scale, Scale) and scale.decided is None


def test_only_thumbnails_in_view_are_drawn(qtbot: QtBot) -> None:
    names = [f"layer{k}" for k in range(40)]
    layers = LayerList()
    qtbot.addWidget(layers)
    layers.resize(180, 400)
    layers.show()
    seen: list[frozenset[str]] = []
    layers.in_view_changed.connect(seen.append)
    layers.show_layers([LayerInfo(name, (8, 16), Pattern(2, 4), 32) for name in names])
    qtbot.waitUntil(lambda: bool(seen) and "layer0" in seen[-1], timeout=SECONDS)
    assert 12 < len(seen[-1]) < 20  # rows of 20 pixels
    layers.layers.scrollToBottom()
    qtbot.waitUntil(lambda: "layer39" in seen[-1] and "layer0" not in seen[-1], timeout=SECONDS)
    layers.search.setText("layer7")
    qtbot.waitUntil(lambda: seen[-1] == {"layer7"}, timeout=SECONDS)


def test_clicking_a_block_pins_it_with_the_librarys_numbers(qtbot: QtBot, use_window: Open) -> None:
    window = use_window()
    assert HINT in window.block.title
    for _ in range(3):
        window.actions_.step.trigger()
    qtbot.waitUntil(lambda: window.progress.value() == 3, timeout=SECONDS)
    heatmap = window.scores.heatmap
    qtbot.waitUntil(lambda: heatmap._fold is not None, timeout=SECONDS)
    heatmap.fit()
    point = settled(qtbot, lambda: heatmap.block_centre(777))
    shown: list[Snapshot] = []
    window.session.snapshot_arrived.connect(shown.append)
    qtbot.mouseClick(heatmap.viewport(), Qt.MouseButton.LeftButton, pos=point)
    qtbot.waitUntil(lambda: "block 777" in window.block.title, timeout=SECONDS)
    snapshot = shown[-1]
    table, pattern = window.block.combinations.table, snapshot.pattern
    assert table.rowCount() == pattern.count
    for row in range(table.rowCount()):
        texts = [table.text(row, column) for column in range(4)]
        score = float(snapshot.scores[777, row])
        better = int((snapshot.scores[777] > score).sum())
        members = tuple(pattern.members[row].tolist())
        assert texts[0] == glyphs(members, 4)
        assert texts[1] == f"{score:.5f}"
        assert texts[3] == ordinal(better + 1)
    assert place(snapshot.shape, pattern, 777) in window.block.title


def test_only_summaries_that_differ_between_blocks_are_offered(
    qtbot: QtBot, use_window: Open
) -> None:
    look = use_window().scores.look
    for colour, texts in (
        ("rank", ["best minus second"]),
        ("difference", ["best of block", "worst of block", "best minus second"]),
        ("score", list(SUMMARIES.values())),
    ):
        qtbot.keyClicks(look.colour, colour)
        assert [look.summary.itemText(at) for at in range(look.summary.count())] == texts
        assert look._state.view.look.colour == colour
        assert look._state.view.look.summary == look.summary.currentData()
        look.colour.setFocus()
        qtbot.wait(QApplication.keyboardInputInterval() + 50)  # the next keys name another


def test_hovering_reads_the_cell_and_follows_the_training(qtbot: QtBot, use_window: Open) -> None:
    window = use_window()
    heatmap = window.scores.heatmap
    qtbot.waitUntil(lambda: heatmap._fold is not None, timeout=SECONDS)
    said: list[str] = []
    window.scores.hover_text.connect(said.append)
    centre = heatmap.block_centre(40)
    heatmap._mouse_moved(heatmap.mapToScene(QPoint(int(centre.x()), int(centre.y()))))
    assert said[-1].startswith("block 40 · output 0 · inputs 160–163")
    before = said[-1]
    window.actions_.step.trigger()
    qtbot.waitUntil(lambda: said[-1] != before, timeout=SECONDS)  # the mouse has not moved
    heatmap._mouse_moved(QPointF(-5, -5))
    assert said[-1] == ""


def test_zoom_pan_and_fit_with_the_keyboard(qtbot: QtBot, use_window: Open) -> None:
    window = use_window()
    heatmap = window.scores.heatmap
    qtbot.waitUntil(lambda: heatmap._fold is not None, timeout=SECONDS)

    def width() -> float:
        (x0, x1), _ = heatmap._box.viewRange()
        return float(x1 - x0)

    whole = width()
    heatmap.setFocus()
    for _ in range(4):
        qtbot.keyClick(heatmap, Qt.Key.Key_Plus)
    assert width() < whole / 3
    left = heatmap._box.viewRange()[0][0]
    qtbot.keyClick(heatmap, Qt.Key.Key_Right)
    assert heatmap._box.viewRange()[0][0] > left
    qtbot.keyClick(heatmap, Qt.Key.Key_Home)
    assert width() == whole
    for _ in range(60):
        qtbot.keyClick(heatmap, Qt.Key.Key_Plus)
    assert heatmap._fold is not None
    assert width() >= heatmap._fold.grid[1]  # never further than one block


def test_every_look_is_drawn(qtbot: QtBot, use_window: Open) -> None:
    window = use_window(small_experiment(pattern="4:8"))
    look = window.scores.look
    for box in (look.colour, look.summary):
        for row in (1, 2, 3, 0):
            with qtbot.waitSignal(window.session.snapshot_arrived, timeout=SECONDS) as got:
                box.setCurrentIndex(row)
            assert got.args[0].cells.codes.max() > REMOVED
    seen: dict[QAction, Callable[[Snapshot], bool]] = {
        look.log: lambda arrived: (
            isinstance(arrived.cells.scale, Scale) and arrived.cells.scale.log
        ),
        look.hold: lambda arrived: arrived.request.look.held is not None,
    }
    for action, has in seen.items():
        with qtbot.waitSignal(
            window.session.snapshot_arrived, timeout=SECONDS, check_params_cb=has
        ) as got:
            action.trigger()
    assert got.args[0].cells.scale.log


def test_zooms_can_be_gone_back_through(qtbot: QtBot, use_window: Open) -> None:
    window = use_window()
    heatmap = window.scores.heatmap
    qtbot.waitUntil(lambda: heatmap._fold is not None, timeout=SECONDS)
    whole = heatmap._box.viewRect()
    zoom_to(heatmap, 9)
    heatmap.zooms.note()
    near = heatmap._box.viewRect()
    assert near != whole
    qtbot.keyClick(heatmap, Qt.Key.Key_Backspace)
    assert heatmap._box.viewRect() == whole
    heatmap.zooms.forward()
    assert heatmap._box.viewRect() == near
    assert not heatmap.zooms.can_go_forward
