"""Transposable masks obey N:M along inputs and outputs, and stay between their refreshes."""

from __future__ import annotations

import copy
from itertools import combinations, product
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lbc.config.strict_yaml import ExperimentError
from lbc.sparsity.compliance import check
from lbc.sparsity.methods.transposable import TransposableLayer
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.sparsification import sparsify
from lbc.sparsity.tiles import all_tiles, from_tiles, to_tiles, transposable_mask
from tests.sparsity.methods.networks import (
    OPTIMIZERS,
    assert_obeys_to_the_end,
    assert_resumes_in_mid_schedule,
    convolutions,
    refused,
    trained,
)

PATTERNS = ["1:2", "2:3", "1:4", "2:4", "3:4", "4:8", "7:8", "1:8", "2:16", "12:16", "8:32"]


@pytest.mark.parametrize("text", PATTERNS)
@pytest.mark.parametrize("kind", ["normal", "ties", "zeros"])
def test_every_row_and_column_of_a_tile_keeps_exactly_n(text: str, kind: str) -> None:
    torch.manual_seed(0)
    pattern = Pattern.parse(text)
    sizes = torch.randn(2 * pattern.m, 2 * pattern.m, 3, 2).abs()
    if kind == "ties":
        sizes = (2 * sizes).round()
    sizes = sizes * (kind != "zeros")
    mask = transposable_mask(sizes, pattern)
    for direction in (mask, mask.transpose(0, 1)):
        found = check(direction, pattern)
        assert found.valid and found.density == pattern.density


def test_tiles_are_cut_at_one_kernel_position_and_put_back() -> None:
    weight = torch.arange(8 * 4 * 3 * 2).view(8, 4, 3, 2)
    tiles = to_tiles(weight, 4)
    assert torch.equal(tiles[0], weight[:4, :, 0, 0])
    assert torch.equal(tiles[-1], weight[4:, :, 2, 1])
    assert torch.equal(from_tiles(tiles, (8, 4, 3, 2)), weight)


def test_two_of_four_is_the_best_of_all_tiles() -> None:
    torch.manual_seed(1)
    assert [len(all_tiles(n, 4)) for n in (1, 2, 3)] == [24, 90, 24]
    rows = [row for row in product((0, 1), repeat=4) if sum(row) == 2]
    tiles = torch.tensor([
        tile for tile in product(rows, repeat=4)
        if all(sum(column) == 2 for column in zip(*tile, strict=True))
    ])  # fmt: skip
    sizes = torch.rand(20, 4, 4)
    best = torch.einsum("tij,pij->tp", sizes, tiles.float()).amax(1)
    mask = transposable_mask(from_tiles(sizes, (4, 80)), Pattern(2, 4))
    torch.testing.assert_close((to_tiles(mask, 4) * sizes).sum((1, 2)), best)


@pytest.mark.parametrize("text", ["1:8", "2:8", "4:8", "6:8"])
def test_above_four_the_sum_is_at_least_half_of_the_best(text: str) -> None:
    pattern = Pattern.parse(text)
    torch.manual_seed(2)
    sizes = torch.rand(200, 8, 8) ** 8  # few large weights, which is where greed errs most
    kept = to_tiles(transposable_mask(from_tiles(sizes, (8, 1600)), pattern), 8)
    found = (kept * sizes).sum((1, 2))
    best = torch.minimum(*(sizes.topk(pattern.n, dim).values.sum((1, 2)) for dim in (1, 2)))
    assert (found >= best / 2).all() and found.sum() > 0.85 * best.sum()
    for a, b in combinations(range(8), 2):  # the last two rows have no exchange left that gains
        gain = sizes[:, b] - sizes[:, a]
        give = gain.masked_fill(~kept[:, a] | kept[:, b], -torch.inf).amax(1)
        take = gain.masked_fill(~kept[:, b] | kept[:, a], torch.inf).amin(1)
    assert (give <= take).any()


def dense_weight(layer: nn.Module) -> Tensor:
    weight = layer.parametrizations.weight.original  # type: ignore[union-attr]
    assert isinstance(weight, Tensor)
    return weight


def test_the_mask_is_that_of_the_last_refresh_and_the_gradient_straight_through() -> None:
    torch.manual_seed(3)
    module = nn.Linear(8, 8)
    options = {"name": "transposable", "interval": 3, "pull": 0.01}
    sparsifier = sparsify(module, "2:4", options)
    conductor = sparsifier.conduct(None, 10, 5)
    masks, inputs = [], torch.randn(4, 8)
    for number in range(1, 6):
        conductor.before_step(number)
        module.zero_grad()
        module(inputs).square().sum().backward()
        mask, weight = sparsifier.mask(""), dense_weight(module).detach()
        plain = copy.deepcopy(sparsifier).finalize()
        plain.requires_grad_()
        plain(inputs).square().sum().backward()
        expected = plain.weight.grad + 0.01 * ~mask * weight  # type: ignore[operator]
        torch.testing.assert_close(dense_weight(module).grad, expected)
        sparsifier.sync_live_sets()
        assert torch.equal(sparsifier.mask(""), mask)
        if number in (1, 4):
            assert torch.equal(mask, transposable_mask(weight.abs(), Pattern(2, 4)))
        masks.append(mask)
        with torch.no_grad():
            dense_weight(module).copy_(torch.randn(8, 8))
    assert torch.equal(masks[0], masks[2]) and not torch.equal(masks[2], masks[3])
    sparsifier.finalize()
    assert torch.equal(module.weight != 0, masks[-1])


def test_without_a_conductor_every_pass_chooses() -> None:
    torch.manual_seed(4)
    module = nn.Linear(8, 8)
    sparsifier = sparsify(module, "2:4", "transposable")
    with torch.no_grad():
        dense_weight(module).copy_(torch.randn(8, 8))
    sparsifier.sync_live_sets()
    module(torch.randn(1, 8))
    weight = dense_weight(module).detach()
    assert torch.equal(sparsifier.mask(""), transposable_mask(weight.abs(), Pattern(2, 4)))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("pattern", ["2:4", "1:4"])
def test_what_is_left_in_the_end_obeys_the_pattern_both_ways(optimizer: str, pattern: str) -> None:
    method = {"name": "transposable", "interval": 3}
    assert_obeys_to_the_end(method, optimizer, pattern)
    sparsifier = trained(method, optimizer, pattern)
    names = [f"{name}.weight" for name in sparsifier.layers]
    model = sparsifier.finalize()
    for weight in map(model.get_parameter, names):
        assert check(weight.transpose(0, 1), Pattern.parse(pattern)).valid


def test_a_run_resumed_between_refreshes_ends_in_the_same_bits(tmp_path: Path) -> None:
    method = {"name": "transposable", "interval": 5}
    sparsifier = assert_resumes_in_mid_schedule(method, "adamw", tmp_path)
    assert all(isinstance(layer, TransposableLayer) for layer in sparsifier.layers.values())


def test_layers_without_whole_tiles_are_refused_in_a_sentence() -> None:
    with pytest.raises(ValueError, match=r"transposable cannot train layer '': .* its 6 outputs"):
        sparsify(nn.Linear(8, 6), "2:4", "transposable")
    with pytest.raises(ExperimentError, match=r"transposable cannot train 2:64: .* up to M = 32"):
        refused(method="transposable", pattern="2:64")
    with pytest.raises(ExperimentError, match=r"transposable cannot train 2:4x2: .* groups"):
        refused(method="transposable", pattern="2:4x2")
    sparsifier = sparsify(convolutions(), "4:8", "transposable", overrides={"5": "2:4"})
    sparsifier.conduct(None, 10, 5)
    sparsifier = sparsify(nn.Conv2d(8, 12, 1, groups=2), "2:4", "transposable")
    with pytest.raises(ValueError, match="layer '': its groups have 6 outputs each, which is not"):
        sparsifier.conduct(None, 10, 5)
