"""Pictures of masks show what is known of each weight."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pytestqt.qtbot import QtBot

from lbc.pictures.layer_copy import copy_moment
from lbc.pictures.level_of_detail import reduce_codes
from lbc.pictures.mask_colours import GAINED, LOST, SAME
from lbc.pictures.mask_snapshot import MaskRequest, MaskSnapshot, Reference, Show, draw_mask
from lbc.pictures.score_codes import LOWEST, REMOVED
from lbc.runs.layer_moment import LayerMoment
from lbc.sparsity.blocks import block_coordinates
from lbc.sparsity.sparsification import sparsify
from lbc.sparsity.sparsifier import Sparsifier
from lbc_gui.masks.mask_view import MaskView
from lbc_gui.run.view_state import ViewState

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
