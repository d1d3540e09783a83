"""Every method keeps its own promise, and a new one needs one file."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lbc.config import Experiment, parse_experiment
from lbc.config.strict_yaml import ExperimentError
from lbc.models import build
from lbc.sparsity import methods
from lbc.sparsity.magnitude_layer import MagnitudeLayer
from lbc.sparsity.method_names import method_names
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.schedule import Schedule
from lbc.sparsity.sparsification import sparsify
from lbc.sparsity.sparsifier import Sparsifier
from lbc.training.trainer import Trainer
from tests.sparsity.methods.networks import assert_resumes_in_mid_schedule
from tests.sparsity.networks import weight_of

LAYERS: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: nn.Linear(8, 12),
    "conv1d": lambda: nn.Conv1d(8, 8, 3),
    "conv2d": lambda: nn.Conv2d(8, 12, (3, 2)),
    "grouped": lambda: nn.Conv2d(16, 8, 3, groups=2),
}


SCALED = ("maxq", "s-ste")
"""Methods that compute with other values of the weights that their masks keep."""

SHAPES = {"linear": (5, 8), "conv1d": (5, 8, 7), "conv2d": (5, 8, 7, 6), "grouped": (5, 16, 7, 6)}


def input_for(kind: str) -> Tensor:
    return torch.randn(SHAPES[kind], dtype=torch.float64)


def attached(method: str, layer: nn.Module, pattern: str = "2:4") -> Sparsifier:
    return sparsify(layer, pattern, method)


def dense_weight(layer: nn.Module) -> nn.Parameter:
    weight = layer.parametrizations.weight.original  # type: ignore[union-attr]
    assert isinstance(weight, nn.Parameter)
    return weight


def largest(weight: Tensor, pattern: Pattern) -> Tensor:
    """The mask of the largest magnitudes, or groups, of every block, by sorting each block."""
    kept = torch.zeros_like(pattern.to_blocks(weight), dtype=torch.bool)
    width = pattern.width
    for block, values in enumerate(pattern.to_blocks(weight).abs().tolist()):
        starts = range(0, pattern.m, width)
        order = sorted(starts, key=lambda j: (-sum(values[j : j + width]), j))
        for start in order[: pattern.n // width]:
            kept[block, start : start + width] = True
    return pattern.from_blocks(kept, tuple(weight.shape))


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("method", method_names())
def test_the_forward_pass_is_the_layer_with_its_mask(method: str, kind: str) -> None:
    torch.manual_seed(0)
    layer = LAYERS[kind]().double()
    plain = copy.deepcopy(layer)
    sparsifier = attached(method, layer)
    images = input_for(kind)
    out = layer(images)
    with torch.no_grad():
        weight = plain.weight
        assert isinstance(weight, Tensor)
        masked = weight * sparsifier.mask("")
        weight.copy_(sparsifier.dense_state_dict()["weight"])
    if method in SCALED:
        assert not weight[~sparsifier.mask("")].any()
    else:
        assert torch.equal(weight, masked)
    assert torch.equal(out, plain(images))


@pytest.mark.parametrize("pattern", ["2:4", "4:8x2"])
@pytest.mark.parametrize("kind", LAYERS)
def test_sr_ste_takes_the_largest_of_the_present_weights_and_pulls_the_others(
    kind: str, pattern: str
) -> None:
    torch.manual_seed(1)
    layer = LAYERS[kind]().double()
    sparsifier = attached("sr-ste", layer, pattern)
    images = input_for(kind)
    with torch.no_grad():
        dense_weight(layer).copy_(torch.randn_like(dense_weight(layer)))
    layer(images).square().sum().backward()
    weight = dense_weight(layer).detach()
    mask = largest(weight, Pattern.parse(pattern))
    assert torch.equal(sparsifier.mask(""), mask)
    gradient = dense_weight(layer).grad
    assert gradient is not None
    # Straight through: what reached the masked weight, and λ (1 − b) ⊙ W on top.
    through = _gradient_of_plain(kind, layer, weight * mask, images)
    torch.testing.assert_close(gradient, through + 2e-4 * (~mask) * weight)


def _gradient_of_plain(kind: str, layer: nn.Module, weight: Tensor, images: Tensor) -> Tensor:
    given = weight.clone().requires_grad_()
    bias = layer.bias
    assert isinstance(bias, Tensor)
    out = torch.func.functional_call(
        LAYERS[kind]().double(), {"weight": given, "bias": bias}, images
    )
    (gradient,) = torch.autograd.grad(out.square().sum(), given)
    return gradient


@pytest.mark.parametrize("pattern", ["2:4", "4:8x2"])
def test_asp_is_dense_until_the_schedule_ends_and_then_keeps_the_largest(pattern: str) -> None:
    torch.manual_seed(2)
    layer = nn.Linear(16, 8)
    sparsifier = attached("asp", layer, pattern)
    schedule = Schedule(end=4)
    for epoch in range(4):
        layer(torch.randn(3, 16)).sum().backward()
        sparsifier.follow(schedule, epoch)
        assert sparsifier.density() == 1
    weight = dense_weight(layer).detach().clone()
    sparsifier.follow(schedule, 4)
    assert torch.equal(sparsifier.mask(""), largest(weight, Pattern.parse(pattern)))
    layer.zero_grad()
    layer(torch.randn(3, 16)).square().sum().backward()
    gradient = dense_weight(layer).grad
    assert gradient is not None
    assert not gradient[~sparsifier.mask("")].any()
    sparsifier.follow(schedule, 5)
    assert torch.equal(sparsifier.mask(""), largest(weight, Pattern.parse(pattern)))


def test_dense_stays_dense_to_the_end() -> None:
    layer = nn.Linear(16, 8)
    before = layer.weight.detach().clone()
    sparsifier = attached("dense", layer)
    sparsifier.follow(Schedule(end=1), 5)
    sparsifier.remove(1)
    assert sparsifier.density() == 1
    assert not sparsifier.searching
    sparsifier.finalize()
    assert torch.equal(layer.weight, before)
    assert set(layer.state_dict()) == {"weight", "bias"}


@pytest.mark.parametrize("pattern", ["1:4", "2:4x2", "6:8"])
@pytest.mark.parametrize("method", ["asp", "sr-ste", "lbc"])
def test_what_is_left_in_the_end_obeys_the_pattern(method: str, pattern: str) -> None:
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.Linear(16, 4))
    sparsifier = attached(method, model, pattern)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for epoch in range(4):
        optimizer.zero_grad()
        model(torch.randn(32, 8)).square().mean().backward()
        optimizer.step()
        sparsifier.follow(Schedule(end=2), epoch + 1, optimizer)
    sparsifier.finalize()
    weight = model[2].weight
    assert isinstance(weight, Tensor)
    at = Pattern.parse(pattern)
    kept = (at.to_blocks(weight) != 0).reshape(-1, at.m // at.width, at.width)
    assert int(kept.sum(dim=(1, 2)).max()) == at.n
    assert torch.equal(kept.any(dim=2), kept.all(dim=2))


NEEDED: dict[str, dict[str, object]] = {
    "proxsparse": {"pattern": "2:4"},
    "step": {"optimizer": {"name": "adamw", "lr": 0.001}},
}
"""The sections of an experiment without which a method refuses to train."""


@pytest.mark.parametrize("method", method_names())
def test_every_method_trains_records_and_finishes(method: str, tmp_path: Path) -> None:
    model = {"name": "mlp", "width": 16, "depth": 3}
    network = build(parse_experiment({"model": model}).model, (1, 28, 28), 10)
    torch.save(network.state_dict(), tmp_path / "trained.pt")  # some choose among trained weights
    experiment = parse_experiment({
        "method": method,
        "pattern": "1:4",
        "model": model,
        "training": {"epochs": 2, "batch_size": 500, "weights": str(tmp_path / "trained.pt")},
        "schedule": {"end": 1},
        **NEEDED.get(method, {}),
    })  # fmt: skip
    finished = Trainer(experiment, tmp_path / "run").train()
    assert finished.density == (1 if method == "dense" else experiment.pattern.density)


@pytest.mark.parametrize("method", ["asp", "dense", "sr-ste"])
def test_a_method_without_a_file_of_its_own_resumes_to_the_same_bits(
    method: str, tmp_path: Path
) -> None:
    assert_resumes_in_mid_schedule({"name": method}, "adamw", tmp_path)


def test_an_unknown_method_is_reported_with_the_choices() -> None:
    for wrong, meant in (("srste", "sr-ste"), ("SR_", "sr-ste"), ("AS", "asp")):
        said = f"The method '{wrong}' is not known: did you mean {meant}?"
        with pytest.raises(ValueError, match=re.escape(said)):
            sparsify(nn.ReLU(), "2:4", wrong)  # before the model is looked at
    with pytest.raises(ExperimentError, match="method.*choose " + ", ".join(method_names())):
        parse_experiment({"method": "magic"})


NEW = '''
"""Random: a combination drawn once for every block."""
import torch
from lbc.sparsity.method_names import method_names
from lbc.sparsity.magnitude_layer import MagnitudeLayer

class RandomLayer(MagnitudeLayer):
    def __init__(self, name, weight, pattern):
        super().__init__(name, weight, pattern)
        self.remove(1)

    def position_scores(self):
        return torch.rand((self.blocks, self.pattern.m))

    def forward(self, weight):
        return weight * self.mask

def attach(name, weight, pattern, form):
    return RandomLayer(name, weight, pattern)
'''


def test_a_new_method_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "by_chance.py").write_text(NEW)
    folders = methods.__path__
    monkeypatch.setattr(methods.__spec__, "submodule_search_locations", [*folders, str(tmp_path)])
    monkeypatch.setattr(methods, "__path__", [*folders, str(tmp_path)])
    assert "by-chance" in method_names()
    experiment = parse_experiment({
        "method": "by-chance",
        "model": {"name": "mlp", "width": 16, "depth": 3},
        "training": {"epochs": 1, "batch_size": 500},
        "schedule": {"end": 1},
    })  # fmt: skip
    finished = Trainer(experiment, tmp_path / "run").train()
    assert finished.density == 0.5


def test_methods_are_named_without_being_imported() -> None:
    files = Path(methods.__path__[0]).glob("[a-z]*.py")
    assert method_names() == tuple(sorted(file.stem.replace("_", "-") for file in files))
    assert Experiment().method.name == "lbc"


def test_a_magnitude_layer_sees_the_optimisers_own_weights() -> None:
    layer = nn.Linear(8, 4)
    sparsifier = attached("asp", layer)
    layer(torch.randn(2, 8))
    seen = sparsifier.layers[""]
    assert isinstance(seen, MagnitudeLayer)
    assert seen.seen.data_ptr() == dense_weight(layer).data_ptr()
    stored, is_per_weight = seen.stored_scores()
    assert is_per_weight and torch.equal(stored, dense_weight(layer).abs())


def test_sr_ste_live_set_follows_the_mask_when_asked() -> None:
    torch.manual_seed(0)
    layer = torch.nn.Linear(8, 4)
    sparsifier = sparsify(layer, "2:4", method="sr-ste")
    with torch.no_grad():
        layer.parametrizations.weight.original.copy_(torch.randn(4, 8))  # type: ignore[union-attr, operator]
    layer(torch.zeros(1, 8))
    sparsifier.sync_live_sets()
    held = sparsifier.layers[""].pattern.incidence()[sparsifier.layers[""].winners()]
    assert torch.equal(held, sparsifier.layers[""].pattern.to_blocks(sparsifier.mask("")))
    assert torch.equal(sparsifier.live("").sum(dim=1), torch.ones(8, dtype=torch.long))
    live = sparsifier.live("").float() @ sparsifier.layers[""].pattern.incidence().float()
    assert torch.equal(live.bool(), held)


def test_sr_ste_is_sparse_from_the_start_and_never_decided() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 4))
    sparsifier = sparsify(model, "2:4", method="sr-ste")
    layer = sparsifier.layers["0"]
    assert (sparsifier.density(), layer.live_count, sparsifier.searching) == (0.5, 1, True)
    assert layer.live_sets.counts().tolist() == [1] * 16 and layer.live_sets.blocks == 16
    sparsifier.remove(1)
    assert sparsifier.searching


def test_sr_ste_chooses_by_the_weights_that_the_optimiser_trains_after_a_move() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 4))
    sparsifier = sparsify(model, "2:4", method="sr-ste")
    model.double()
    model(torch.ones(1, 8, dtype=torch.float64))
    with torch.no_grad():
        sparsifier.dense_weight("0").copy_(torch.arange(64.0).reshape(8, 8).flip(1))
    sparsifier.sync_live_sets()
    kept = torch.tensor([True, True, False, False]).repeat(2).expand(8, -1)
    assert torch.equal(sparsifier.mask("0"), kept)


def test_sr_ste_ends_with_the_largest_of_the_last_weights() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 4))
    sparsifier = sparsify(model, "2:4", method="sr-ste")
    model(torch.ones(1, 8))
    with torch.no_grad():  # as the last step of an optimiser does
        sparsifier.dense_weight("0").copy_(torch.arange(1.0, 65.0).reshape(8, 8).flip(1))
    sparsifier.finalize(hold=True)
    kept = torch.tensor([True, True, False, False]).repeat(2).expand(8, -1)
    assert torch.equal(weight_of(model, "0") != 0, kept)
