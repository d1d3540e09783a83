"""What the released code of the method gets wrong, one test for each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lbc import config
from lbc.data import load
from lbc.models import ResNet18
from lbc.runs.events import EpochDone, Event
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.schedule import Schedule
from lbc.sparsity.sparsification import sparsify
from lbc.sparsity.sparsifier import Sparsifier
from lbc.training.optimizer import build_optimizer
from lbc.training.trainer import Trainer
from tests.whole_split import all_tested_on

Form = Literal["per_weight", "per_combination"]
both_forms = pytest.mark.parametrize("form", ["per_weight", "per_combination"])


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 4))


def step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    loss = F.cross_entropy(model(torch.randn(8, 16)), torch.randint(4, (8,)))
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()


@both_forms
def test_removal_may_start_late(form: Form) -> None:
    model = net()
    sparsifier = sparsify(model, "2:4", scores=form)
    live = []
    for epoch in range(8):
        sparsifier.follow(Schedule(start=3, end=6), epoch)
        live.append(sparsifier.layers["0"].live_count)
    assert live == [6, 6, 6, 6, 3, 2, 1, 1]


@pytest.mark.parametrize("told", [True, False], ids=["told", "optimizer-not-told"])
@pytest.mark.parametrize("name", ["sgd", "nesterov", "adam", "adamw"])
@pytest.mark.parametrize("pattern", ["2:4", "4:8"])
def test_momentum_cannot_revive_what_was_removed(pattern: str, name: str, told: bool) -> None:
    for form in ("per_weight", "per_combination"):
        if form == "per_weight" and name.startswith("adam"):
            continue
        model = net()
        sparsifier = sparsify(model, pattern, scores=form)
        optimizer: torch.optim.Optimizer
        match name:
            case "adam":
                optimizer = torch.optim.Adam(model.parameters(), lr=0.1, weight_decay=0.1)
            case "adamw":
                optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
            case _:
                optimizer = torch.optim.SGD(
                    model.parameters(), lr=0.1, momentum=0.9, nesterov=name == "nesterov"
                )
        at = sparsifier.layers["0"]
        step(model, optimizer)
        with torch.no_grad():
            at.score_parameter().add_(torch.randn_like(at.score_parameter()) - 100)  # all negative
        alive = sparsifier.live("0")
        for live in sorted({at.pattern.count // 2, 3, 2, 1}, reverse=True):
            sparsifier.remove(live, optimizer if told else None)
            if live > 1:
                shove_removed(optimizer, at.score_parameter(), at.live(), told)
            for _ in range(3):
                step(model, optimizer)
                now = sparsifier.live("0")
                assert bool((now <= alive).all())
                assert bool((sparsifier.scores("0")[~now] == -torch.inf).all())
            assert int(now.sum()) == live * at.blocks
            assert bool(now.gather(1, at.winners()[:, None]).all())
            alive = now


def shove_removed(
    optimizer: torch.optim.Optimizer, parameter: nn.Parameter, live: Tensor, told: bool
) -> None:
    momentum = optimizer.state[parameter].get("momentum_buffer")
    momentum = optimizer.state[parameter].get("exp_avg") if momentum is None else momentum
    if momentum.shape != live.shape:
        return  # one accumulator per weight: removed combinations have no momentum of their own
    if told:
        assert bool((momentum[~live] == 0).all())
    momentum[~live] = -1e6


def test_what_is_evaluated_is_the_mask_the_schedule_asks_for(
    quick: Callable[..., config.Experiment],
) -> None:
    experiment = quick(schedule={"end": 3}, training={"epochs": 3, "batch_size": 500})
    data = load(experiment.data)
    seen: list[tuple[int, float, float]] = []
    watched: list[Sparsifier] = []

    def emit(event: Event) -> None:
        if isinstance(event, EpochDone):
            with torch.no_grad():
                logits = watched[-1].model.eval()(all_tested_on(data))
            loss = F.cross_entropy(logits, data.test.labels).item()
            assert event.test_loss == pytest.approx(loss, rel=1e-5)
            wanted = experiment.schedule.as_schedule().live(experiment.pattern, event.epoch)
            assert set(event.live) == {wanted}
            assert event.density == watched[-1].density()
            seen.append((wanted, event.density, event.accuracy))

    Trainer(experiment, None, emit=emit, watch=lambda at, _: watched.append(at)).train()
    assert [live for live, *_ in seen] == [3, 2, 1]
    assert seen[-1][1] == 0.5


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_scores_that_sum_to_zero_mask_nothing(value: float) -> None:
    layer = nn.Linear(4, 2)
    plain = layer.weight.detach().clone()
    sparsifier = sparsify(layer, "2:4", scores="per_combination")
    scores = sparsifier.layers[""].score_parameter()
    with torch.no_grad():  # every position's three scores sum to zero
        scores.copy_(value * torch.tensor([1.0, 1.0, -2.0, -2.0, 1.0, 1.0]))
    assert bool(sparsifier.mask("").all())
    assert torch.equal(layer.weight, plain)
    sparsifier.remove(5)
    assert bool(sparsifier.mask("").all())
    assert torch.equal(layer.weight, plain)


@both_forms
def test_a_decided_search_stays_decided_when_it_is_resumed(form: Form) -> None:
    model = net()
    sparsifier = sparsify(model, "2:4", scores=form)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    step(model, optimizer)
    sparsifier.remove(1, optimizer)
    step(model, optimizer)

    other = net()
    resumed = sparsify(other, "2:4", scores=form)
    again = torch.optim.SGD(other.parameters(), lr=0.1, momentum=0.9)
    other.load_state_dict(model.state_dict())
    again.load_state_dict(optimizer.state_dict())
    for epoch in (8, 9, 2):  # also where the user resumes with the wrong epoch
        step(other, again)
        resumed.follow(Schedule(end=8), epoch, again)
        assert torch.equal(resumed.live("0"), sparsifier.live("0"))
        assert torch.equal(resumed.mask("0"), sparsifier.mask("0"))
    assert not resumed.searching


def test_batch_norm_in_downsample_is_not_decayed() -> None:
    model = ResNet18(10, 3)
    names = {parameter: name for name, parameter in model.named_parameters()}
    decayed, plain = build_optimizer(model, config.Optimizer(weight_decay=1e-4)).param_groups
    hidden = {f"{name}.weight" for name, module in model.named_modules()
              if isinstance(module, nn.BatchNorm2d) and "bn" not in name}  # fmt: skip
    assert hidden
    assert decayed["weight_decay"] == 1e-4 and plain["weight_decay"] == 0
    assert hidden <= {names[parameter] for parameter in plain["params"]}
    assert not hidden & {names[parameter] for parameter in decayed["params"]}


@both_forms
def test_the_incidence_is_in_no_parameter_buffer_or_checkpoint(form: Form) -> None:
    model = net()
    sparsify(model, "2:4", scores=form)
    scores = "beta" if form == "per_weight" else "all_scores"
    lbc = "0.parametrizations.weight"
    assert set(model.state_dict()) == {
        "0.bias", f"{lbc}.original", f"{lbc}.0.{scores}", f"{lbc}.0.mask", f"{lbc}.0.packed",
        f"{lbc}.0.identity", "2.weight", "2.bias",
    }  # fmt: skip
    incidence = Pattern(2, 4).incidence()
    for tensor in [*model.parameters(), *model.buffers()]:
        assert tensor.shape != incidence.shape
