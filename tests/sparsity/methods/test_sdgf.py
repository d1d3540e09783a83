"""SdGf: the pattern narrows in frames of equal length."""

from __future__ import annotations

from collections.abc import Mapping
from math import comb
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lbc import Pattern, Schedule, Sparsifier, sparsify
from lbc.config.strict_yaml import ExperimentError
from lbc.sparsity.compliance import check
from lbc.sparsity.method_options.sdgf import Options
from tests.sparsity.methods.networks import (
    OPTIMIZERS,
    assert_obeys_to_the_end,
    assert_resumes_in_mid_schedule,
    refused,
)

GEOMETRIC = {"name": "sdgf", "frames": "geometric"}
SCHEDULE = Schedule(end=8)


def frames(options: Options, pattern: str, width: int = 0) -> str:
    return " ".join(map(str, options.frame_patterns(Pattern.parse(pattern), width)))


def conducted(layer: nn.Module, options: Mapping[str, object], pattern: str) -> Sparsifier:
    """A layer in a run of twelve epochs of ten steps, whose schedule ends after eight."""
    sparsifier = sparsify(layer, pattern, options)
    sparsifier.conduct(torch.optim.SGD(layer.parameters(), lr=0.1), 120, 10, SCHEDULE)
    return sparsifier


def largest(weight: Tensor, n: int, m: int) -> Tensor:
    order = weight.abs().reshape(-1, m).argsort(dim=1, descending=True)[:, :n]
    mask = torch.zeros(weight.numel() // m, m, dtype=torch.bool)
    return mask.scatter(1, order, True).reshape(weight.shape)


def test_the_frames_end_at_the_pattern_whatever_it_is() -> None:
    stepwise, geometric = Options(), Options(frames="geometric")
    for pattern, expected in (
        ("2:4", "3:4 2:4"), ("1:4", "3:4 2:4 1:4"), ("1:16", "15:16 8:16 4:16 2:16 1:16"),
        ("3:8", "7:8 4:8 3:8"), ("2:6", "5:6 3:6 2:6"), ("3:4", "3:4"), ("1:2", "1:2"),
        ("1:7", "6:7 3:7 1:7"),
    ):  # fmt: skip
        assert frames(stepwise, pattern) == expected
    assert frames(geometric, "2:4", 64) == "16:32 8:16 4:8 2:4"
    assert frames(geometric, "2:4", 48) == "8:16 8:16 4:8 2:4"
    assert frames(geometric, "2:4", 20) == "2:4 2:4 2:4 2:4"
    assert frames(geometric, "1:1024") == "4:4096 4:4096 2:2048 1:1024"


@pytest.mark.parametrize(
    ("at", "kept"), [(0, 16), (0.9, 16), (2, 15), (3.1, 15), (3.2, 8), (4.4, 4), (6.8, 1), (9, 1)]
)
def test_stepwise_the_live_set_is_what_lies_within_the_mask(at: float, kept: int) -> None:
    layer, weight = nn.Linear(32, 6), torch.randn(6, 32)
    sparsifier = conducted(layer, {"name": "sdgf", "start": 2}, "1:16")
    with torch.no_grad():
        sparsifier.dense_weight("").copy_(weight)
    sparsifier.conductor.before_step(round(at * 10) + 1)
    mask = largest(weight, kept, 16)
    assert torch.equal(layer.weight, weight * mask)
    sparsifier.sync_live_sets()
    assert torch.equal(sparsifier.mask(""), mask)
    assert sparsifier.live("").sum(dim=1).eq(comb(kept, 1)).all()
    assert sparsifier.options.live(SCHEDULE, Pattern(1, 16), at) == kept
    assert sparsifier.options.density(SCHEDULE, Pattern(1, 16), at) == (kept / 16, kept / 16)
    numbers = sparsifier.conductor.numbers()
    assert numbers == {"Share of weights kept": pytest.approx(kept / 16)}


def test_stepwise_with_several_kept_every_live_combination_lies_within_the_mask() -> None:
    layer = nn.Conv2d(16, 4, 3)
    sparsifier = conducted(layer, {"name": "sdgf"}, "2:8")
    sparsifier.conductor.before_step(31)
    sparsifier.sync_live_sets()
    live, pattern = sparsifier.live(""), Pattern(2, 8)
    held = pattern.to_blocks(sparsifier.mask(""))
    assert live.sum(dim=1).eq(comb(4, 2)).all()
    assert torch.equal((live.float() @ pattern.incidence().float()).bool(), held)


def test_following_the_schedule_narrows_too() -> None:
    layer = nn.Linear(32, 6)
    sparsifier = sparsify(layer, "1:4", {"name": "sdgf"})
    for epoch, live in ((0, 3), (1, 3), (3, 2), (6, 1), (7, 1)):
        sparsifier.follow(SCHEDULE, epoch)
        assert sparsifier.layers[""].live_count == live
        assert (layer.weight != 0).sum() == 6 * 8 * live


@pytest.mark.parametrize("width", [64, 48])
def test_geometric_blocks_narrow_from_the_widest_that_fit(width: int) -> None:
    layer = nn.Linear(width, 6)
    sparsifier = conducted(layer, GEOMETRIC, "1:4")
    for step, multiple in ((1, 8), (21, 4), (41, 2), (61, 1), (100, 1)):
        sparsifier.conductor.before_step(step)
        multiple = multiple if width % (4 * multiple) == 0 else 4
        sparsifier.sync_live_sets()
        weight = sparsifier.dense_weight("").detach()
        mask = largest(weight, multiple, 4 * multiple)
        assert torch.equal(layer.weight, weight * mask)
        assert torch.equal(sparsifier.mask(""), mask)
        assert sparsifier.layers[""].live_count == (1 if multiple == 1 else 4)
    assert sparsifier.options.density(SCHEDULE, Pattern(1, 4), 0) == (0.25, 0.25)


@pytest.mark.parametrize("step", [1, 81])
def test_the_gradient_is_that_of_the_product_or_passes_unchanged(step: int) -> None:
    torch.manual_seed(0)
    images = torch.randn(5, 16)
    for gradient in ("autograd", "released"):
        layer = nn.Linear(16, 8)
        sparsifier = conducted(layer, {"name": "sdgf", "gradient": gradient}, "2:4")
        sparsifier.conductor.before_step(step)
        given = layer.weight.detach().requires_grad_()
        loss = nn.functional.linear(images, given, layer.bias).square().sum()
        (through,) = torch.autograd.grad(loss, given)
        layer(images).square().sum().backward()
        kept = largest(sparsifier.dense_weight("").detach(), 3 if step == 1 else 2, 4)
        expected = through * kept if gradient == "autograd" else through
        assert torch.equal(sparsifier.dense_weight("").grad, expected)  # type: ignore[arg-type]


def test_one_frame_is_the_straight_through_estimator() -> None:
    """At 3:4 the only frame is the pattern: W̃ = b ⊙ W, and ∂L/∂W = ∂L/∂W̃."""
    layer, images = nn.Linear(16, 8), torch.randn(5, 16)
    sparsifier = conducted(layer, {"name": "sdgf", "gradient": "released"}, "3:4")
    sparsifier.conductor.before_step(1)
    weight = sparsifier.dense_weight("")
    given = (weight * largest(weight.detach(), 3, 4)).detach().requires_grad_()
    loss = nn.functional.linear(images, given, layer.bias).square().sum()
    (through,) = torch.autograd.grad(loss, given)
    layer(images).square().sum().backward()
    assert torch.equal(weight.grad, through)  # type: ignore[arg-type]


def test_a_state_in_mid_schedule_loads_with_its_frame() -> None:
    for options in ({"name": "sdgf"}, GEOMETRIC):
        layer, copy = nn.Linear(64, 4), nn.Linear(64, 4)
        sparsifier = conducted(layer, options, "1:4")
        conducted(copy, options, "1:4")
        sparsifier.conductor.before_step(41)
        copy.load_state_dict(layer.state_dict())
        assert torch.equal(copy.weight, layer.weight)
        assert not check(copy.weight, Pattern(1, 4)).valid
        sparsifier.finalize()
        assert check(layer.weight, Pattern(1, 4)).valid


def test_a_dense_phase_as_long_as_the_schedule_is_refused() -> None:
    with pytest.raises(ExperimentError, match=r"method\.start"):
        refused(method={"name": "sdgf", "start": 8}, schedule={"end": 8})


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("options", [{}, {"frames": "geometric", "gradient": "released"}])
def test_it_obeys_the_pattern_to_the_end(optimizer: str, options: dict[str, object]) -> None:
    assert_obeys_to_the_end({"name": "sdgf", **options}, optimizer, "1:4")


def test_a_resumed_run_ends_in_the_same_bits(tmp_path: Path) -> None:
    assert_resumes_in_mid_schedule({"name": "sdgf"}, "adamw", tmp_path)
