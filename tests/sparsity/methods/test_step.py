"""STEP is Adam until its variances have settled, and then Adam with fixed ones under a mask."""

from __future__ import annotations

from math import sqrt
from pathlib import Path
from typing import cast

import pytest
import torch
from torch import Tensor, nn

from lbc import sparsify
from lbc.config import parse_experiment
from lbc.config.strict_yaml import ExperimentError
from lbc.sparsity.compliance import check
from lbc.sparsity.method_options.step import Options
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.schedule import Schedule
from lbc.sparsity.sparsifier import Sparsifier
from lbc.training.trainer import Trainer
from tests.sparsity.methods.pretrained import (
    assert_resumes_in_mid_schedule,
    experiment_from,
    kinds,
)

LR, DECAY, BETAS, EPS = 0.01, 0.1, (0.9, 0.99), 1e-8
ADAM: dict[str, type[torch.optim.Adam]] = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


def largest(weight: list[float], kept: int) -> list[float]:
    """One block with all but its largest magnitudes zero."""
    order = sorted(range(len(weight)), key=lambda j: (-abs(weight[j]), j))
    return [value if j in order[:kept] else 0.0 for j, value in enumerate(weight)]


def by_hand(
    weight: list[float], pulls: list[list[float]], kind: str, earliest: int, bound: float
) -> tuple[list[float], int]:
    """One block trained on ½(w̃ − pull)² in every step; also the step of the switch."""
    m, v, fixed, changes = [0.0] * 4, [0.0] * 4, [0.0] * 4, list[float]()
    switched = 0
    for t, pull in enumerate(pulls, start=1):
        used = largest(weight, 2) if switched else weight
        gradient = [w - p for w, p in zip(used, pull, strict=True)]
        if kind == "adam":
            gradient = [g + DECAY * w for g, w in zip(gradient, weight, strict=True)]
        else:
            weight = [w * (1 - LR * DECAY) for w in weight]
        m = [BETAS[0] * a + (1 - BETAS[0]) * g for a, g in zip(m, gradient, strict=True)]
        if not switched:
            before = v
            v = [BETAS[1] * a + (1 - BETAS[1]) * g * g for a, g in zip(v, gradient, strict=True)]
            changes.append(sum(abs(a - b) for a, b in zip(v, before, strict=True)) / 4)
            divisor = [sqrt(a / (1 - BETAS[1] ** t)) + EPS for a in v]
        else:
            divisor = fixed
        steps = [a / (1 - BETAS[0] ** t) / d for a, d in zip(m, divisor, strict=True)]
        weight = [w - LR * s for w, s in zip(weight, steps, strict=True)]
        recent = changes[-100:]
        settled = sum(recent) / len(recent) < bound and t > earliest
        if not switched and (settled or t >= 20):
            switched, fixed = t, divisor
    return weight, switched


@pytest.mark.parametrize("kind", ADAM)
@pytest.mark.parametrize("bound", [0.0, 1e9])
def test_both_phases_are_the_formula(kind: str, bound: float) -> None:
    torch.manual_seed(0)
    module = nn.Linear(4, 1, bias=False).double()
    sparsifier = sparsify(module, "2:4", {"name": "step", "earliest": 0.25}, overrides={"": "2:4"})
    weight = sparsifier.dense_weight("")
    start, pulls = weight.detach()[0].tolist(), torch.randn(30, 4).double()
    optimizer = ADAM[kind]([weight], lr=LR, betas=BETAS, eps=EPS, weight_decay=DECAY)
    conductor = sparsifier.conduct(optimizer, 30, 10, Schedule(end=2))
    conductor._bound = bound  # type: ignore[attr-defined]
    for step, pull in enumerate(pulls, start=1):
        optimizer.zero_grad()
        conductor.before_step(step)
        loss = (module.weight[0] - pull).square().sum() / 2
        loss.backward()
        conductor.before_update(step)
        optimizer.step()
        conductor.after_update(step)
    expected, switched = by_hand(start, pulls.tolist(), kind, 5, bound)
    assert switched == (20 if bound == 0 else 6)
    assert weight.detach()[0].tolist() == pytest.approx(expected, rel=1e-9)
    assert float(optimizer.state[weight]["step"]) == 30


def stepped(module: nn.Module, kind: str = "adamw", steps: int = 4) -> Sparsifier:
    """A layer after two epochs of two steps, at the end of whose first the mask comes."""
    sparsifier = sparsify(module, "2:4", "step")
    optimizer = ADAM[kind](module.parameters(), lr=LR)
    conductor = sparsifier.conduct(optimizer, 4, 2, Schedule(end=1))
    for step in range(1, steps + 1):
        optimizer.zero_grad()
        (cast(Tensor, module.weight) - step).square().sum().backward()  # type: ignore[no-untyped-call]
        conductor.before_update(step)
        optimizer.step()
        conductor.after_update(step)
    return sparsifier


@pytest.mark.parametrize("kind", ["linear", "conv2d", "grouped"])
def test_layers_are_dense_and_then_have_the_largest_weights(kind: str) -> None:
    module = kinds()[kind]
    sparsifier = stepped(module, steps=1)
    layer, pattern = sparsifier.layers[""], Pattern(2, 4)
    assert (layer.live_count, sparsifier.density()) == (6, 1)
    assert torch.equal(cast(Tensor, module.weight), sparsifier.dense_weight(""))
    assert sparsifier.conductor.numbers()["Change of variances"] > 0
    sparsifier.follow(Schedule(end=1), 0.5)
    assert layer.live_count == 6
    sparsifier = stepped(kinds()[kind])
    module, dense = sparsifier.model, sparsifier.dense_weight("").detach()
    sizes = pattern.to_blocks(dense.abs())
    kept = pattern.from_blocks(sizes >= sizes.topk(2).values[:, -1:], tuple(dense.shape))
    assert torch.equal(cast(Tensor, module.weight), dense * kept)
    assert (sparsifier.layers[""].live_count, sparsifier.density()) == (1, 0.5)
    assert sparsifier.conductor.numbers() == {}
    sparsifier.finalize()
    found = check(cast(Tensor, module.weight).detach(), pattern)
    assert found.valid and found.density == 0.5


def test_the_fixed_variances_are_in_the_optimiser_and_others_change() -> None:
    module = nn.Linear(8, 4)
    sparsifier = stepped(module, steps=2)
    optimizer = cast(torch.optim.Adam, sparsifier.conductor._optimizer)  # type: ignore[attr-defined]
    weight, bias = sparsifier.dense_weight(""), module.bias
    fixed = optimizer.state[weight]["exp_avg_sq"].clone()
    for step in (3, 4):
        optimizer.zero_grad()
        module(torch.ones(1, 8)).sum().backward()
        before = optimizer.state[bias]["exp_avg_sq"].clone() if step > 3 else None
        sparsifier.conductor.before_update(step)
        optimizer.step()
        sparsifier.conductor.after_update(step)
        assert torch.equal(optimizer.state[weight]["exp_avg_sq"], fixed)
        assert before is None or not torch.equal(optimizer.state[bias]["exp_avg_sq"], before)
    sparsifier.conductor.close()
    optimizer.zero_grad()
    module(torch.ones(1, 8)).sum().backward()
    optimizer.step()
    assert not torch.equal(optimizer.state[weight]["exp_avg_sq"], fixed)


def test_a_layer_that_is_decided_before_its_first_step_is_trained_by_adam() -> None:
    module, pattern = kinds()["linear"], Pattern(2, 4)
    plain = nn.Parameter(cast(Tensor, module.weight).detach().clone())
    expected = ADAM["adamw"]([plain], lr=LR)
    sparsifier = sparsify(module, "2:4", "step")
    optimizer = ADAM["adamw"](module.parameters(), lr=LR)
    sparsifier.conduct(optimizer, 4, 2).decide()
    for _ in range(3):
        sizes = pattern.to_blocks(plain.detach().abs())
        plain.grad = (sizes >= sizes.topk(2).values[:, -1:]).view_as(plain) * plain.detach() * 2
        expected.step()
        optimizer.zero_grad()
        cast(Tensor, module.weight).square().sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    torch.testing.assert_close(sparsifier.dense_weight(""), plain)


@pytest.mark.parametrize(("optimizer", "end"), [("adam", 2.0), ("adamw", 1.25)])
def test_a_run_resumes_in_either_phase(optimizer: str, end: float, tmp_path: Path) -> None:
    experiment = experiment_from(tmp_path, {"name": "step"}, optimizer, clip_norm=0.5)
    schedule = experiment.schedule.model_copy(update={"end": end})
    assert_resumes_in_mid_schedule(experiment.model_copy(update={"schedule": schedule}), tmp_path)


def test_a_run_of_half_precision_trains(tmp_path: Path) -> None:
    experiment = experiment_from(tmp_path, {"name": "step"}, "adam", precision="float16", epochs=3)
    assert Trainer(experiment, None).train().density == 0.5


def test_the_preview_is_between_the_earliest_and_the_latest_switch() -> None:
    options, schedule, pattern = Options(), Schedule(end=6), Pattern(1, 4)
    densities = [options.density(schedule, pattern, epoch) for epoch in (0, 1, 2, 5.9, 6)]
    assert densities == [(1, 1), (1, 1), (0.25, 1), (0.25, 1), (0.25, 0.25)]
    assert [options.live(schedule, pattern, epoch) for epoch in (5.9, 6)] == [4, 1]


def test_another_optimiser_than_adam_is_refused() -> None:
    with pytest.raises(ExperimentError) as caught:
        parse_experiment({"method": "step"})
    assert "optimizer.name: step needs the variances of Adam, and sgd has none" in str(caught.value)
    module = nn.Linear(8, 8)
    sparsifier = sparsify(module, "2:4", "step")
    with pytest.raises(ValueError, match=r"give an optimiser torch\.optim\.Adam or AdamW"):
        sparsifier.conduct(torch.optim.SGD(module.parameters(), lr=0.1), 10, 5)
