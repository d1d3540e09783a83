"""MaxQ: strong blocks are pruned first, and weights are scaled along several axes."""

from __future__ import annotations

from math import cos, exp, pi
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lbc import Pattern, Schedule, Sparsifier, sparsify
from lbc.config.strict_yaml import ExperimentError
from lbc.sparsity.method_options import read_options
from lbc.sparsity.method_options.maxq import Options
from lbc.sparsity.order_statistics import around_cut, smallest
from tests.sparsity.methods.networks import (
    OPTIMIZERS,
    assert_obeys_to_the_end,
    assert_resumes_in_mid_schedule,
    refused,
)

SCHEDULE = Schedule(end=6)
TAU = 0.01


def conducted(layer: nn.Module, pattern: str = "1:4", **options: object) -> Sparsifier:
    """A layer in a run of twelve epochs of ten steps, whose schedule ends after six."""
    sparsifier = sparsify(layer, pattern, {"name": "maxq", **options})
    sparsifier.conduct(torch.optim.SGD(layer.parameters(), lr=0.1), 120, 10, SCHEDULE)
    return sparsifier


def factors(rows: Tensor, pattern: Pattern) -> Tensor:
    """f or k of every row, by sorting it."""
    out = torch.zeros_like(rows)
    for number, row in enumerate(rows.tolist()):
        cut = len(row) * (pattern.m - pattern.n) // pattern.m
        order = sorted(range(len(row)), key=lambda j: row[j])
        middle = (row[order[cut - 1]] + row[order[cut]]) / 2
        for j in order[cut:]:
            out[number, j] = 1 / (1 + exp(-(row[j] - middle) / TAU))
    return out


def soft_mask(weight: Tensor, pattern: Pattern, dense: int) -> Tensor:
    """m of a convolution's weight (O, I, kh, kw), with so many dense blocks."""
    sizes = weight.abs()
    blocks = pattern.to_blocks(sizes)
    kept = torch.zeros_like(blocks)
    kept.scatter_(1, blocks.argsort(dim=1, descending=True)[:, : pattern.n], 1)
    kept[blocks.sum(dim=1).argsort()[:dense]] = 1
    mask = pattern.from_blocks(kept, tuple(weight.shape))
    by_filter = factors(sizes.flatten(1), pattern).view(weight.shape)
    positions = sizes.permute(2, 3, 0, 1)
    by_position = factors(positions.flatten(2).flatten(0, 1), pattern)
    return mask * (1 + by_filter + by_position.view(positions.shape).permute(2, 3, 0, 1))


@pytest.mark.parametrize(("step", "share"), [(1, 1), (15, 5 / 6), (31, 0.5), (59, 1 / 6), (61, 0)])
def test_the_soft_mask_is_that_of_the_formulas(step: int, share: float) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(8, 6, 3).double()
    weight, images = 0.1 * torch.randn(6, 8, 3, 3).double(), torch.randn(2, 8, 5, 5).double()
    sparsifier = conducted(layer)
    with torch.no_grad():
        sparsifier.dense_weight("").copy_(weight)
    sparsifier.conductor.before_step(step)
    dense = int(share * 108 + 1e-6)
    soft = soft_mask(weight, Pattern(1, 4), dense)
    given = layer.weight.detach().requires_grad_()
    torch.testing.assert_close(given.detach(), weight * soft)
    loss = nn.functional.conv2d(images, given, layer.bias).square().sum()
    (through,) = torch.autograd.grad(loss, given)
    layer(images).square().sum().backward()
    pulled = 2e-4 * (1 - soft.clamp_max(1)) * weight
    torch.testing.assert_close(sparsifier.dense_weight("").grad, through + pulled)
    sparsifier.sync_live_sets()
    counts = sparsifier.live("").sum(dim=1)
    assert torch.equal(sparsifier.mask(""), soft > 0)
    assert int((counts == 4).sum()) == dense and int((counts == 1).sum()) == 108 - dense
    expected = dense / 108 + (1 - dense / 108) / 4
    assert sparsifier.density() == pytest.approx(expected)
    epoch = (step - 1) / 10
    assert sparsifier.options.live(SCHEDULE, Pattern(1, 4), epoch) == (4 if dense else 1)
    assert sparsifier.options.density(SCHEDULE, Pattern(1, 4), epoch)[0] == pytest.approx(expected)
    assert sparsifier.conductor.numbers() == {"Share of dense blocks": pytest.approx(share)}
    (picture,) = sparsifier.layers[""].pictures().values()
    torch.testing.assert_close(picture.values, soft / 3)


def test_the_share_of_dense_blocks_falls_over_whole_epochs() -> None:
    def shares(**options: Any) -> list[float]:
        chosen = Options(start=1, end=5, **options)
        return [chosen.number(Schedule(end=9), None, epoch) for epoch in (0.9, 1, 2, 3.7, 4, 5, 6)]

    assert shares() == [1, 1, 0.75, 0.5, 0.25, 0, 0]
    assert shares(shape="cubic") == [1, 1, 0.75**3, 0.125, 0.25**3, 0, 0]
    assert shares(shape="cosine") == pytest.approx(
        [1, 1, cos(pi / 8), cos(pi / 4), cos(3 * pi / 8), 0, 0]
    )
    total = 1 - exp(-0.15)
    assert shares(shape="exponential") == pytest.approx(
        [1, 1, 1 - (1 - exp(-0.05)) / total, 1 - (1 - exp(-0.1)) / total, 0, 0, 0]
    )
    short = Options(end=1, shape="exponential")
    assert [short.number(SCHEDULE, None, epoch) for epoch in (0, 0.9, 1)] == [1, 1, 0]
    assert Options().number(SCHEDULE, None, 3) == 0.5
    (course,) = Options(end=6).courses(Schedule(end=9), 12)
    assert [course.at(epoch) for epoch in (0, 3, 6)] == [1, 0.5, 0]


def test_with_every_block_pruned_and_nothing_scaled_it_is_sr_ste() -> None:
    images = torch.randn(5, 16)
    seen = []
    for method in ({"name": "maxq", "filters": False, "kernels": False}, {"name": "sr-ste"}):
        torch.manual_seed(0)
        layer = nn.Linear(16, 8)
        sparsifier = sparsify(layer, "2:4", method)
        sparsifier.conduct(None, 120, 10, SCHEDULE).before_step(61)
        layer(images).square().sum().backward()
        seen.append((layer.weight.detach(), sparsifier.dense_weight("").grad, sparsifier.mask("")))
    for one, other in zip(*seen, strict=True):
        assert torch.equal(one, other)


def test_a_state_in_mid_schedule_loads_with_its_dense_blocks() -> None:
    layer, copy = nn.Conv2d(8, 6, 3), nn.Conv2d(8, 6, 3)
    sparsifier, other = conducted(layer), conducted(copy)
    sparsifier.conductor.before_step(31)
    copy.load_state_dict(layer.state_dict())
    assert torch.equal(copy.weight, layer.weight)
    assert torch.equal(other.live(""), sparsifier.live(""))
    other.load_state_dict(sparsifier.state_dict())
    assert other.density() == sparsifier.density() > 0.6


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, while it loads
def test_it_compiles() -> None:
    layer, images = nn.Conv2d(8, 4, 3), torch.randn(2, 8, 4, 4)
    sparsifier = conducted(layer)
    sparsifier.conductor.before_step(31)
    expected = layer(images)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(images), expected)
    torch._dynamo.reset()


def test_order_statistics_are_those_of_a_sort() -> None:
    draw = np.random.default_rng(0)
    for values in (
        draw.normal(size=(3, 50_000)), draw.integers(0, 9, (2, 40_000)), draw.random((7, 20)),
        np.sort(draw.normal(size=(2, 40_000)) ** 3), np.zeros((1, 40_000)),
    ):  # fmt: skip
        rows = torch.from_numpy(values.astype(np.float32))
        ordered = rows.sort(dim=1).values
        count = rows.shape[1]
        for cut in (1, count // 16, count // 2, count - 1):
            low, high = around_cut(rows, cut)
            assert torch.equal(low[:, 0], ordered[:, cut - 1])
            assert torch.equal(high[:, 0], ordered[:, cut])
            order = rows[0].argsort(stable=True)
            assert torch.equal(smallest(rows[0], cut).nonzero()[:, 0], order[:cut].sort().values)
    assert smallest(torch.ones(3), 0).tolist() == [False] * 3
    assert smallest(torch.ones(3), 3).tolist() == [True] * 3


def test_what_does_not_fit_is_refused() -> None:
    experiment = {"schedule": {"end": 6}, "training": {"epochs": 12}}
    assert refused(method={"name": "maxq", "end": 6}, **experiment).method.name == "maxq"
    for options, said in (
        ({"end": 13}, r"last blocks at epoch 13, but training ends at epoch 12: lower method\.end"),
        ({"start": 6}, r"begins at epoch 6 and ends at epoch 6: lower method\.start"),
        ({"start": 4, "end": 3}, r"begins at epoch 4 and ends at epoch 3: lower method\.start"),
    ):
        with pytest.raises(ExperimentError, match=said):
            refused(method={"name": "maxq", **options}, **experiment)
    with pytest.raises(ValueError, match="tau"):
        read_options({"name": "maxq", "tau": 0})


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("pattern", ["2:4", "1:4"])
def test_it_obeys_the_pattern_to_the_end(optimizer: str, pattern: str) -> None:
    assert_obeys_to_the_end({"name": "maxq"}, optimizer, pattern)


def test_a_resumed_run_ends_in_the_same_bits(tmp_path: Path) -> None:
    assert_resumes_in_mid_schedule({"name": "maxq"}, "adamw", tmp_path)
