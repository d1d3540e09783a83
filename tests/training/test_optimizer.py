"""Weight decay depends on the kind of parameter, the learning rate on the epoch."""

from __future__ import annotations

from copy import deepcopy
from math import cos, pi
from typing import Any, Literal

import pytest
import torch
from torch import nn

from lbc import config
from lbc.models import ResNet18
from lbc.sparsity.sparsification import sparsify
from lbc.training.optimizer import build_optimizer, learning_rate


def decays(model: nn.Module) -> dict[str, float]:
    """The weight decay of every parameter, by name."""
    optimizer = build_optimizer(model, config.Optimizer(weight_decay=0.5))
    names = {parameter: name for name, parameter in model.named_parameters()}
    return {
        names[parameter]: group["weight_decay"]
        for group in optimizer.param_groups
        for parameter in group["params"]
    }


def test_norms_and_biases_are_not_decayed_whatever_their_names() -> None:
    model = nn.Sequential()
    model.conv1 = nn.Conv2d(4, 4, 3)
    model.downsample = nn.Sequential(nn.Conv2d(4, 4, 1, bias=False), nn.BatchNorm2d(4))
    model.first = nn.GroupNorm(2, 4)
    model.second = nn.LayerNorm(4)
    model.third = nn.RMSNorm(4)
    model.fourth = nn.InstanceNorm2d(4, affine=True)
    model.attention = nn.MultiheadAttention(4, 2)
    model.bn_not_a_norm = nn.Linear(4, 4)
    found = decays(model)
    assert found.keys() == dict(model.named_parameters()).keys()
    assert {name for name, decay in found.items() if decay} == {
        "conv1.weight",
        "downsample.0.weight",
        "attention.in_proj_weight",
        "attention.out_proj.weight",
        "bn_not_a_norm.weight",
    }


def test_weights_and_scores_are_decayed_alike() -> None:
    for form in ("per_weight", "per_combination"):
        model = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(8, 2))
        layer = sparsify(model, "2:4", scores=form).layers["0"]
        found = decays(model)
        assert found["0.parametrizations.weight.original"] == 0.5
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        assert found[names[id(layer.score_parameter())]] == 0.5
        assert found["1.weight"] == found["1.bias"] == found["0.bias"] == 0.0


def test_every_parameter_of_a_resnet_is_optimised_once() -> None:
    model = ResNet18(10, 3)
    sparsify(model, "2:4", scores="per_weight")
    found = decays(model)
    assert found.keys() == dict(model.named_parameters()).keys()
    norms = {name for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)}
    assert len(norms) == 20
    for name, decay in found.items():
        owner, _, own = name.rpartition(".")
        assert decay == (0.0 if owner in norms or own == "bias" else 0.5), name


def test_a_shared_parameter_is_updated_once() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight = model[0].weight
    model[1].bias = model[0].bias
    optimizer = build_optimizer(model, config.Optimizer())
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 2


REFERENCES: dict[str, tuple[Any, dict[str, object]]] = {
    "sgd": (torch.optim.SGD, {"momentum": 0.9}),
    "adam": (torch.optim.Adam, {}),
    "adamw": (torch.optim.AdamW, {}),
}


@pytest.mark.parametrize(
    ("name", "kind"),
    [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)],
)
def test_the_optimizer_matches_the_settings(name: str, kind: type) -> None:
    settings = config.Optimizer.model_validate({"name": name, "lr": 0.3, "momentum": 0.7})
    optimizer = build_optimizer(nn.Linear(4, 4), settings)
    assert type(optimizer).__bases__ == (kind,)
    assert all(group["lr"] == 0.3 for group in optimizer.param_groups)
    if name == "sgd":
        nesterov = build_optimizer(nn.Linear(4, 4), config.Optimizer(nesterov=True))
        assert [group["momentum"] for group in optimizer.param_groups] == [0.7, 0.7]
        assert [group["nesterov"] for group in optimizer.param_groups] == [False, False]
        assert [group["nesterov"] for group in nesterov.param_groups] == [True, True]


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_a_layer_may_be_unused_in_some_steps(name: str) -> None:
    settings = {"name": name, "lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}
    ours = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    plain = deepcopy(ours)
    optimizer = build_optimizer(ours, config.Optimizer.model_validate(settings))
    kind, more = REFERENCES[name]
    weights = [at for path, at in plain.named_parameters() if path.endswith("weight")]
    biases = [at for path, at in plain.named_parameters() if path.endswith("bias")]
    groups = [{"params": weights}, {"params": biases, "weight_decay": 0}]
    expected = kind(groups, lr=0.1, weight_decay=0.01, foreach=False, **more)
    for layers in (1, 2, 1, 2):
        for model, each in ((ours, optimizer), (plain, expected)):
            each.zero_grad()
            model[:layers](torch.arange(8.0).view(2, 4)).square().sum().backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            each.step()
    for one, other in zip(ours.parameters(), plain.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_cosine_falls_from_lr_to_zero() -> None:
    settings = config.Optimizer(lr=0.4)
    rates = [learning_rate(settings, epoch, 4) for epoch in (0, 1, 2, 3, 4)]
    expected = [0.2 * (1 + cos(pi * progress)) for progress in (0, 0.25, 0.5, 0.75, 1)]
    assert rates == pytest.approx(expected)
    assert rates[0] == 0.4 and rates[-1] == 0


def test_the_constant_schedule_does_not_change() -> None:
    settings = config.Optimizer(lr=0.4, lr_schedule="constant")
    assert {learning_rate(settings, epoch, 2) for epoch in (0, 0.3, 2)} == {0.4}


def test_cosine_can_end_above_zero() -> None:
    settings = config.Optimizer(lr=0.4, final_lr=0.1)
    assert [learning_rate(settings, epoch, 2) for epoch in (0, 1, 2)] == [0.4, 0.25, 0.1]


def test_the_step_schedule_falls_at_its_milestones() -> None:
    settings = config.Optimizer(
        lr=1, lr_schedule="step", lr_milestones=(2, 3.5), lr_factor=0.5, final_lr=0
    )
    epochs = (0, 1.99, 2, 3.4, 3.5, 5)
    assert [learning_rate(settings, epoch, 5) for epoch in epochs] == [1, 1, 0.5, 0.5, 0.25, 0.25]


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_warm_up_rises_linearly_to_the_schedule(schedule: Literal["cosine", "constant"]) -> None:
    settings = config.Optimizer(lr=0.5, lr_schedule=schedule, warmup_epochs=2, warmup_lr=0.1)
    plain = config.Optimizer(lr=0.5, lr_schedule=schedule)
    target = learning_rate(plain, 2, 10)
    rates = [learning_rate(settings, epoch, 10) for epoch in (0, 0.5, 1, 1.5, 2)]
    assert rates == pytest.approx([0.1 + (target - 0.1) * k / 4 for k in range(5)])
    assert learning_rate(settings, 7, 10) == learning_rate(plain, 7, 10)
