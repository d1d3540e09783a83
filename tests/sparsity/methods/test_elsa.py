"""ELSA: layers of changing density in one network, and the search for the density of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from itertools import product
from pathlib import Path
from random import Random
from typing import cast

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from lbc.config import Experiment, parse_experiment
from lbc.config.strict_yaml import ExperimentError
from lbc.runs.history_reader import Replay
from lbc.runs.history_walks import biographies
from lbc.sparsity.compliance import check
from lbc.sparsity.layer_search import Choice, LayerSearch, Space
from lbc.sparsity.method_options.elsa import Options
from lbc.sparsity.methods.elsa import Elsa
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.schedule import Schedule
from lbc.sparsity.sparsification import sparsify
from lbc.sparsity.sparsifier import Sparsifier
from lbc.training.failures import TrainingError
from lbc.training.trainer import Trainer
from tests.sparsity.methods.networks import OPTIMIZERS, convolutions, pictures, step
from tests.sparsity.test_methods import largest
from tests.training.resumption import assert_same_run, stop_at

SMALL = {"name": "elsa", "subnets": 3, "generations": 1, "population": 4}
MACS = "multiply-adds"


def accuracy_of(model: nn.Module) -> Callable[[], float]:
    """A number from 0 to 1 that depends on the weights in use."""

    def evaluate() -> float:
        with torch.no_grad():
            return float(model(pictures()).sigmoid().mean())

    return evaluate


def conducted(
    optimizer: str = "sgd", pattern: str = "2:4", **options: object
) -> tuple[Sparsifier, Elsa, torch.optim.Optimizer]:
    model = convolutions()
    sparsifier = sparsify(model, pattern, SMALL | options)
    trained = OPTIMIZERS[optimizer](model)
    given = {"evaluate": accuracy_of(model), "seed": 1}
    conductor = sparsifier.conduct(trained, 12, 3, Schedule(end=2), **given)  # type: ignore[arg-type]
    return sparsifier, cast("Elsa", conductor), trained


@pytest.mark.parametrize("pattern", ["2:4", "3:4", "4:8x2"])
def test_a_layer_computes_with_the_largest_of_its_choice_and_others_get_no_gradient(
    pattern: str,
) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(16, 6)
    sparsifier = sparsify(layer, pattern, "elsa")
    weight = sparsifier.dense_weight("")
    loosest = Pattern.parse(pattern)
    assert torch.equal(sparsifier.mask(""), largest(weight.detach(), loosest))
    for kept in range(loosest.width, loosest.n + 1, loosest.width):
        with torch.no_grad():
            weight.copy_(torch.randn_like(weight))
        sparsifier.layers[""].keep(kept)  # type: ignore[operator]
        mask = largest(weight.detach(), Pattern(kept, loosest.m, loosest.width))
        images = torch.randn(5, 16)
        out, plain = layer(images), (weight * mask).detach().requires_grad_()
        assert torch.equal(out, nn.functional.linear(images, plain, layer.bias))
        weight.grad = None
        out.square().sum().backward()
        again = nn.functional.linear(images, plain, layer.bias).square().sum()
        (gradient,) = torch.autograd.grad(again, plain)
        assert torch.equal(cast("Tensor", weight.grad), gradient * mask)
        assert sparsifier.density() == kept / loosest.m and sparsifier.searching


def test_choices_are_drawn_by_fitness_and_density() -> None:
    _, conductor, _ = conducted(pattern="3:4", tolerance=10)
    conductor.epoch = 0.0
    assert conductor.options.lean(Schedule(end=2), 0.0) == -1
    first = [250 * (1 / 4), 500 * (2 / 4), 750 * (3 / 4)]
    expected = torch.tensor(first, dtype=torch.float64) / sum(first)
    torch.testing.assert_close(conductor.probabilities(), expected.expand(3, -1))
    conductor.seen[:] = torch.tensor([5.0, 6.0, 4.0])
    conductor.total[:] = conductor.seen * torch.tensor([0.6, 0.9, 0.5])
    conductor.total[1] = conductor.seen[1] * torch.tensor([0.8, 0.9, 0.5])
    conductor.epoch = 2.0
    # Two choices are below what 60.5 % is the limit for, and one of them has been seen four times.
    rows = []
    for fitness in ([0.0, 90.0, 50.0], [80.0, 90.0, 50.0], [0.0, 90.0, 50.0]):
        row = [one * 4 / kept for kept, one in enumerate(fitness, start=1)]
        rows.append([one / sum(row) for one in row])
    mean = float(conductor.total[0].sum() / 15)
    conductor.options = conductor.options.model_copy(update={"tolerance": 100 * mean - 60.5})
    torch.testing.assert_close(conductor.probabilities(), torch.tensor(rows, dtype=torch.float64))
    drawn = torch.tensor([
        conductor._draw(torch.Generator().manual_seed(seed)) for seed in range(300)
    ])  # fmt: skip
    for at, row in enumerate(rows):
        shares = drawn[:, at].bincount(minlength=4)[1:] / 300
        torch.testing.assert_close(shares.double(), torch.tensor(row).double(), atol=0.1, rtol=0)
    assert not (drawn[:, 0] == 1).any()


def test_the_lean_is_level_for_an_interval_at_both_ends() -> None:
    options, schedule = Options(evaluate_every=10.0), Schedule(end=300)
    assert [options.lean(schedule, at) for at in (0, 10, 150, 290, 300)] == [-1, -1, 0, 1, 1]
    assert [options.lean(Schedule(end=4), at) for at in (1, 3)] == [-1, 1]
    (course,) = options.courses(schedule, 300)
    assert course.at(80) == 0.25
    assert options.density(schedule, Pattern(4, 8, 2), 0) == (0.25, 0.5)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_layer_obeys_its_pattern_once_decided_and_once_finalized(optimizer: str) -> None:
    sparsifier, conductor, trained = conducted(optimizer)
    drawn = set()
    for number in range(1, 7):
        step(sparsifier, trained, number)
        if number % 3:
            drawn.add(tuple(layer.density for layer in sparsifier.layers.values()))
        else:
            assert sparsifier.density() == 0.5
            accuracy = conductor.numbers()["held-out accuracy"]
    assert len(drawn) > 1 and accuracy > 0
    assert conductor.seen.sum(dim=1).tolist() == [6.0] * 3
    assert 0.25 < conductor.numbers()["mean density drawn"] < 0.5
    sparsifier.decide()
    found = {name: round(4 * layer.density) for name, layer in sparsifier.layers.items()}
    assert not sparsifier.searching and set(found.values()) <= {1, 2}
    numbers = conductor.numbers()
    assert numbers[MACS] <= conductor.space.most + 1e-9
    assert numbers["held-out accuracy"] == accuracy_of(sparsifier.model)()
    masks = {name: sparsifier.mask(name) for name in found}
    step(sparsifier, trained, 7)
    model = sparsifier.model.eval()
    with torch.no_grad():
        evaluated = model(pictures())
    plain = convolutions().eval()
    plain.load_state_dict(sparsifier.dense_state_dict())
    sparsifier.finalize()
    assert torch.equal(model(pictures()), evaluated)
    assert torch.equal(plain(pictures()), evaluated)
    for name, kept in found.items():
        weight = model.get_parameter(f"{name}.weight").detach()
        assert check(weight, Pattern(kept, 4)).valid and torch.equal(weight != 0, masks[name])


def test_copies_averages_and_state_dicts_have_the_thinner_masks() -> None:
    sparsifier, _, trained = conducted()
    average = AveragedModel(sparsifier.model)
    step(sparsifier, trained, 1)
    copy = deepcopy(sparsifier.model)
    state = sparsifier.model.state_dict()
    sparsifier.layers["2"].keep(1)  # type: ignore[operator]
    sparsifier.layers["2"].remove(1)
    masked = torch.equal(average.module[2].weight != 0, sparsifier.mask("2"))  # type: ignore[index]
    assert masked and sparsifier.layers["2"].density == 0.25
    assert torch.equal(Sparsifier.of(copy).mask("2"), state["2.parametrizations.weight.0.mask"])
    again = sparsify(convolutions(), "2:4", "elsa")
    again.model.load_state_dict(sparsifier.model.state_dict())
    assert torch.equal(again.mask("2"), sparsifier.mask("2")) and not again.layers["2"].searching
    broken = sparsifier.model.state_dict()
    broken["2.parametrizations.weight.0.mask"][:] = True
    again.model.load_state_dict(broken)  # a layer that stays dense
    assert again.layers["2"].density == 1 and not again.layers["2"].searching
    broken["2.parametrizations.weight.0.mask"][0, 0, 0, 0] = False
    with pytest.raises(RuntimeError, match="a decided mask keeps 288 weights, and this one 575"):
        again.model.load_state_dict(broken)


def test_on_request_a_layer_can_stay_dense() -> None:
    sparsifier, conductor, trained = conducted(dense=True, macs=0.9, least_macs=0.6)
    assert conductor.densities.tolist() == [[0.25, 0.5, 1.0]] * 3
    assert conductor.options.density(Schedule(end=2), Pattern(2, 4), 0) == (0.25, 1)
    conductor._keep([3, 1, 2])
    assert [layer.density for layer in sparsifier.layers.values()] == [1, 0.25, 0.5]
    assert sparsifier.left_dense == sparsifier.skipped  # nothing is decided
    for number in range(1, 4):
        step(sparsifier, trained, number)
    assert sparsifier.density() == 0.5  # what is tested after an epoch obeys the pattern
    sparsifier.decide()
    densities = {name: layer.density for name, layer in sparsifier.layers.items()}
    assert set(densities.values()) <= {0.25, 0.5, 1} and 1 in densities.values()
    assert 0.6 <= conductor.numbers()[MACS] <= 0.9
    dense = [name for name, density in densities.items() if density == 1]
    assert [*sparsifier.left_dense] == [*sparsifier.skipped, *dense]
    weights = {name: sparsifier.dense_weight(name).detach().clone() for name in dense}
    step(sparsifier, trained, 4)
    model = sparsifier.finalize()
    for name, before in weights.items():
        after = model.get_parameter(f"{name}.weight")
        assert bool((after != 0).all()) and not torch.equal(after, before)


def experiment(folder: Path, optimizer: str = "sgd", **sections: object) -> Experiment:
    pixels = np.random.default_rng(0).integers(0, 256, (100, 8, 8), dtype=np.uint8)
    np.savez(folder / "small.npz", images=pixels, labels=np.arange(100) % 4)
    method = SMALL | {"held_out": 0.2, "evaluate_every": 0.5, "macs": 0.5}
    return parse_experiment({
        "method": method,
        "pattern": "2:4",
        "data": {"name": "npz", "file": str(folder / "small.npz"), "test_share": 0.25},
        "model": {"name": "convnet", "width": 8, "depth": 3},
        "training": {"epochs": 3, "batch_size": 12},
        "schedule": {"end": 2},
        "optimizer": {"name": optimizer, "lr": 0.02},
    } | sections)  # fmt: skip


def test_a_run_resumes_to_the_same_bits_and_shows_its_masks_again(tmp_path: Path) -> None:
    used, run = experiment(tmp_path, "adamw"), tmp_path / "run"
    whole = Trainer(used, tmp_path / "whole")
    whole.train()
    # Of 100 images 75 are for training, of which 15 are held out.
    assert whole._prepared.steps_per_epoch == 5
    stop_at(4, used, run)
    stop_at(12, used, run, resume=True)
    Trainer(used, run, resume=True).train()
    assert_same_run(run, tmp_path / "whole")
    assert (run / "method.records").read_bytes() == (tmp_path / "whole/method.records").read_bytes()
    weights, replay = load_file(run / "model.safetensors"), Replay(run)
    last, pattern = len(replay.moments) - 1, Pattern(2, 4)
    densities = set()
    for name, layer in whole._sparsifier.layers.items():
        mask = whole._sparsifier.mask(name)
        assert torch.equal(weights[f"{name}.weight"] != 0, mask)
        assert np.array_equal(replay.layer(name, last).mask, mask.numpy())
        assert np.array_equal(replay.layer(name, 0).mask, np.ones(mask.shape, bool))
        held = pattern.to_blocks(mask)[3].numpy()
        assert np.array_equal(biographies(replay, name, [3])[0].mask[-1], held)
        densities.add(layer.density)
    assert densities <= {0.25, 0.5} and 0.25 in densities


def test_what_cannot_be_done_is_said_before_training(tmp_path: Path) -> None:
    def refusal(**options: object) -> str:
        used = experiment(tmp_path, method={"name": "elsa", **options})
        with pytest.raises(TrainingError) as caught:
            Trainer(used, tmp_path / "run").train()
        assert not (tmp_path / "run").exists()
        return str(caught.value)

    assert "method.macs is 0.01, but under the sparsest choices" in refusal(macs=0.01)
    assert "method.least_macs is 0.9, but the search looks at most" in refusal(least_macs=0.9)
    assert "too few to hold out 1% for comparing choices" in refusal(held_out=0.01)
    with pytest.raises(ExperimentError, match=r"least 0\.5 and at most 0\.4 .*lower method\.least"):
        experiment(tmp_path, method={"name": "elsa", "macs": 0.4, "least_macs": 0.5})
    sparsifier = sparsify(convolutions(), "2:4", "elsa")
    sparsifier.conduct(None, 2, 1)
    with pytest.raises(ValueError, match="give evaluate to Sparsifier"):
        sparsifier.finalize()


SPACE = Space(tuple((0.02, 0.04, 0.06, 0.08) for _ in range(6)), 0.1, 0.3, 0.4)


def worth(choice: Sequence[int]) -> float:
    """The more the better, most in layers 0, 1 and 5."""
    weights = (9, 5, 1, 2, 1, 6)
    return sum(weight * number for weight, number in zip(weights, choice, strict=True)) / 100


def test_the_search_finds_the_best_within_the_bounds() -> None:
    tested: list[Choice] = []

    def accuracy(choice: Choice) -> float:
        tested.append(choice)
        return worth(choice)

    done: list[float] = []
    fitness = [[1.0] * 4] * 6
    found = LayerSearch(SPACE, fitness, accuracy, Random(0)).best(10, 20, done.append)
    inside = [
        one for one in product(range(1, 5), repeat=6) if 0.3 - 1e-9 < SPACE.macs(one) < 0.4 + 1e-9
    ]
    assert worth(found) == max(map(worth, inside))
    assert len(tested) == len(set(tested)) <= 11 * 20 and set(tested) <= set(inside)
    assert done == sorted(done) and done[-1] == 1
    again = LayerSearch(SPACE, fitness, worth, Random(0)).best(10, 20, done.append)
    assert again == found


def test_the_search_draws_no_choice_that_was_dropped_and_ends_where_there_are_few() -> None:
    space = Space(((0.1, 0.2), (0.1, 0.2)), 0.0, 0.0, 1.0)
    search = LayerSearch(space, [[0.0, 1.0], [1.0, 1.0]], lambda _: 0.5, Random(0))
    assert search.best(3, 10, lambda _: None) == (2, 1)  # the cheaper of equals
    assert {*search.known} == {(2, 1), (2, 2)}
    one = Space(((0.1,),), 0.2, 0.0, 0.3)
    assert LayerSearch(one, [[1.0]], lambda _: 0.0, Random(0)).best(2, 5, lambda _: None) == (1,)
