"""MdGf: masked weights fade out by a factor that falls from 1 to 0."""

from __future__ import annotations

from math import exp
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from lbc import Pattern, Schedule, Sparsifier, sparsify
from lbc.config.strict_yaml import ExperimentError
from lbc.sparsity.clocked_layer import ClockedLayer
from lbc.sparsity.largest import largest
from lbc.sparsity.method_options import read_options
from tests.sparsity.methods.networks import (
    OPTIMIZERS,
    assert_obeys_to_the_end,
    assert_resumes_in_mid_schedule,
    refused,
)

SCHEDULE = Schedule(end=8)
RELEASED = {"name": "mdgf", "gradient": "released"}


def conducted(layer: nn.Module, options: dict[str, Any], pattern: str = "2:4") -> Sparsifier:
    """A layer in a run of twelve epochs of ten steps, whose schedule ends after eight."""
    sparsifier = sparsify(layer, pattern, options)
    sparsifier.conduct(torch.optim.SGD(layer.parameters(), lr=0.1), 120, 10, SCHEDULE)
    return sparsifier


def gradient_of(layer: nn.Linear, images: Tensor) -> Tensor:
    """The gradient of the weight that the layer computes with."""
    given = layer.weight.detach().requires_grad_()
    loss = nn.functional.linear(images, given, layer.bias).square().sum()
    return torch.autograd.grad(loss, given)[0]


@pytest.mark.parametrize(
    ("options", "at", "factor"),
    [
        ({}, 0, 1), ({}, 2, 0.75), ({}, 8, 0), ({}, 11.9, 0),
        ({"start": 4}, 3.9, 1), ({"start": 4}, 6, 0.5), ({"rate": 0.25}, 1, 0.75),
        ({"rate": 0.25}, 5, 0), ({"decay": "exponential"}, 4, 0.1),
        ({"decay": "exponential", "rate": 0.5, "start": 1}, 3, exp(-1)),
        ({"decay": "exponential", "rate": 0.5}, 8, 0),
    ],
)  # fmt: skip
def test_the_factor_falls_as_the_clock_says(
    options: dict[str, object], at: float, factor: float
) -> None:
    layer, weight = nn.Linear(16, 8), torch.randn(8, 16)
    sparsifier = conducted(layer, {"name": "mdgf", **options})
    with torch.no_grad():
        sparsifier.dense_weight("").copy_(weight)
    sparsifier.conductor.before_step(round(at * 10) + 1)
    mask = largest(weight, Pattern(2, 4))
    torch.testing.assert_close(layer.weight.detach(), torch.where(mask, weight, factor * weight))
    assert sparsifier.conductor.numbers() == {"Factor of masked weights (β)": pytest.approx(factor)}
    chosen = sparsifier.options
    assert chosen.courses(SCHEDULE, 12)[0].at(at) == pytest.approx(factor)
    assert chosen.live(SCHEDULE, Pattern(2, 4), at) == (6 if factor else 1)
    assert chosen.density(SCHEDULE, Pattern(2, 4), at) == ((1, 1) if factor else (0.5, 0.5))
    sparsifier.sync_live_sets()
    assert sparsifier.layers[""].live_count == (6 if factor else 1)
    assert sparsifier.density() == (1 if factor else 0.5)
    (picture,) = sparsifier.layers[""].pictures().values()
    torch.testing.assert_close(picture.values, torch.where(mask, 1.0, factor))


@pytest.mark.parametrize("pull", [0, 2e-4])
@pytest.mark.parametrize("step", [41, 121])
def test_the_gradient_is_that_of_the_product_or_passes_unchanged(pull: float, step: int) -> None:
    torch.manual_seed(0)
    images = torch.randn(5, 16)
    for gradient in ("autograd", "released"):
        layer = nn.Linear(16, 8)
        sparsifier = conducted(layer, {"name": "mdgf", "gradient": gradient, "pull": pull})
        sparsifier.conductor.before_step(step)
        weight = sparsifier.dense_weight("")
        mask = largest(weight.detach(), Pattern(2, 4))
        factor = torch.where(mask, 1.0, 0.5 if step == 41 else 0)
        through = gradient_of(layer, images) * (factor if gradient == "autograd" else 1)
        layer(images).square().sum().backward()
        torch.testing.assert_close(weight.grad, through + pull * ~mask * weight.detach())


def test_without_decay_left_and_with_the_pull_it_is_sr_ste() -> None:
    images = torch.randn(5, 16)
    seen = []
    for options in (RELEASED | {"pull": 2e-4}, {"name": "sr-ste"}):
        torch.manual_seed(0)
        layer = nn.Linear(16, 8)
        sparsifier = conducted(layer, options)
        sparsifier.conductor.before_step(81)
        layer(images).square().sum().backward()
        seen.append((layer.weight.detach(), sparsifier.dense_weight("").grad, sparsifier.mask("")))
    for one, other in zip(*seen, strict=True):
        assert torch.equal(one, other)


def test_the_factor_is_in_the_state_and_once_decided_it_stays_zero() -> None:
    torch.manual_seed(0)
    layer, copy = nn.Linear(16, 8), nn.Linear(16, 8)
    sparsifier, other = conducted(layer, {"name": "mdgf"}), conducted(copy, {"name": "mdgf"})
    sparsifier.conductor.before_step(41)
    copy.load_state_dict(layer.state_dict())
    assert torch.equal(copy.weight, layer.weight)
    other.conductor.before_step(81)
    other.sync_live_sets()
    layer.load_state_dict(copy.state_dict())
    sparsifier.conductor.before_step(41)
    assert torch.equal(copy.weight, layer.weight) and sparsifier.density() == 0.5
    mask = sparsifier.mask("")
    with torch.no_grad():
        sparsifier.dense_weight("").copy_(torch.randn(8, 16))
    layer(torch.ones(1, 16))
    assert not torch.equal(sparsifier.mask(""), mask) and sparsifier.searching


def test_a_run_that_is_only_followed_or_cut_short_obeys_the_pattern() -> None:
    model = nn.Sequential(nn.Linear(16, 16), nn.Linear(16, 4))
    sparsifier = sparsify(model, "1:4", "mdgf")
    average = AveragedModel(model, use_buffers=True)
    sparsifier.follow(Schedule(end=2), 1)
    assert sparsifier.density() == 1
    sparsifier.follow(Schedule(end=2), 2)
    average.update_parameters(model)
    assert sparsifier.density() == 0.25
    kept = Sparsifier.of(average.module).finalize().state_dict()["0.weight"]
    assert kept.count_nonzero() == 64
    cut = sparsify(nn.Sequential(nn.Linear(16, 16), nn.Linear(16, 4)), "1:4", "mdgf")
    assert cut.finalize().state_dict()["0.weight"].count_nonzero() == 64


def test_a_compiled_graph_takes_the_factor_without_being_compiled_anew() -> None:
    layer, images = nn.Linear(8, 8), torch.randn(3, 8)
    sparsifier = conducted(layer, {"name": "mdgf"})
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    with torch.compiler.set_stance("default"):
        sparsifier.conductor.before_step(11)
        torch.testing.assert_close(compiled(images), layer(images))
    with torch.compiler.set_stance("fail_on_recompile"):
        for step in (21, 41, 81):
            sparsifier.conductor.before_step(step)
            torch.testing.assert_close(compiled(images), layer(images))
    torch._dynamo.reset()


def test_a_moved_layer_keeps_its_factor() -> None:
    layer = nn.Linear(8, 8)
    sparsifier = conducted(layer, {"name": "mdgf"})
    sparsifier.conductor.before_step(41)
    moved = sparsifier.layers[""]
    layer.double()
    assert isinstance(moved, ClockedLayer)
    assert (moved.number, moved.scalar.item()) == (0.5, 0.5)
    assert layer.weight.dtype == torch.float64


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ExperimentError, match=r"begins at epoch 8 and ends at epoch 8: lower meth"):
        refused(method={"name": "mdgf", "start": 8}, schedule={"end": 8})
    with pytest.raises(ValueError, match="decay"):
        read_options({"name": "mdgf", "decay": "soon"})


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("options", [{}, {"gradient": "released", "decay": "exponential"}])
def test_it_obeys_the_pattern_to_the_end(optimizer: str, options: dict[str, object]) -> None:
    assert_obeys_to_the_end({"name": "mdgf", **options}, optimizer, "2:4")


def test_a_resumed_run_ends_in_the_same_bits(tmp_path: Path) -> None:
    assert_resumes_in_mid_schedule({"name": "mdgf"}, "adamw", tmp_path)
