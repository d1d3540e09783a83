"""Pruning a trained model at once: what is written, measured, refused, and trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lbc.config import Experiment, parse_experiment
from lbc.config.one_shot import fine_tuning, one_shot_experiment
from lbc.data import load
from lbc.data.batches import mix_seed
from lbc.inspection import inspect_checkpoint, open_checkpoint
from lbc.models import build
from lbc.sparsity.method_options import one_shot_methods
from lbc.sparsity.pattern import Pattern
from lbc.training.failures import TrainingError
from lbc.training.method_run import CALIBRATION_DRAW
from lbc.training.one_shot import (
    Cancelled,
    PrunedModel,
    new_file,
    prune,
)
from lbc.training.trainer import Trainer

LAYERS = ("hidden.0", "hidden.1")
PATTERN = "1:4"


def experiment(**changes: object) -> Experiment:
    training = {"epochs": 1, "batch_size": 100}
    model = {"name": "mlp", "width": 16}
    return parse_experiment({
        "name": "net", "method": "dense", "model": model, "schedule": {"end": 1},
        "training": training, **changes,
    })  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dense run of one epoch."""
    folder = tmp_path_factory.mktemp("runs") / "net"
    Trainer(experiment(), folder).train()
    return folder


@pytest.fixture(scope="module")
def pruned(run: Path) -> Iterator[Callable[[str], PrunedModel]]:
    """The run pruned by a method, once."""
    made: dict[str, PrunedModel] = {}

    def by(method: str) -> PrunedModel:
        if method not in made:
            chosen = one_shot_experiment(experiment(), run, method, PATTERN, images=64)
            file = new_file(run.parent, run, method, chosen.pattern)
            made[method] = prune(chosen, file, images=64)
        return made[method]

    yield by


def dense_weights(run: Path) -> dict[str, Tensor]:
    return load_file(run / "model.safetensors")


def network(weights: dict[str, Tensor]) -> nn.Module:
    model = build(experiment().model, (1, 28, 28), 10)
    model.load_state_dict(weights)
    return model.eval()


@torch.no_grad()
def accuracy(weights: dict[str, Tensor]) -> float:
    data = load(experiment().data)
    images = data.normalise(data.test.read(torch.arange(len(data.test.labels))))
    return float((network(weights)(images).argmax(1) == data.test.labels).float().mean())


@pytest.mark.parametrize("method", one_shot_methods())
def test_the_file_obeys_the_pattern_and_says_what_was_measured(
    method: str, pruned: Callable[[str], PrunedModel], run: Path
) -> None:
    result = pruned(method)
    assert result.file.name == f"net-{method}-1-4.safetensors"
    assert tuple(layer.name for layer in result.layers) == LAYERS
    assert all(layer.density == 0.25 for layer in result.layers)
    assert inspect_checkpoint(result.file, Pattern.parse(PATTERN), ["head"]).valid
    assert result.before == pytest.approx(accuracy(dense_weights(run)))
    assert result.after == pytest.approx(accuracy(load_file(result.file)))
    assert result.after < result.before
    with open_checkpoint(result.file) as checkpoint:
        stated = checkpoint.metadata
    assert stated.layers == dict.fromkeys(LAYERS, PATTERN) and "head" in stated.skipped
    assert stated.pruned is not None and stated.pruned.method == method
    assert (stated.pruned.before, stated.pruned.after) == (result.before, result.after)
    assert stated.pruned.errors == {layer.name: layer.error for layer in result.layers}


@torch.no_grad()
@pytest.mark.parametrize("method", ["asp", "sparsegpt"])
def test_errors_are_those_of_outputs_for_the_inputs_from_pruned_layers(
    method: str, pruned: Callable[[str], PrunedModel], run: Path
) -> None:
    result, data = pruned(method), load(experiment().data)
    dense, sparse = network(dense_weights(run)), network(load_file(result.file))
    inputs: dict[str, Tensor] = {}
    for name in LAYERS:
        sparse.get_submodule(name).register_forward_pre_hook(
            lambda _, args, name=name: inputs.update({name: args[0].double()})
        )
    numbers = torch.Generator().manual_seed(mix_seed(0, CALIBRATION_DRAW))
    rows = torch.randperm(len(data.train.labels), generator=numbers)[:64].sort().values
    sparse(data.normalise(data.train.read(rows)))
    for layer in result.layers:
        w = dense.get_submodule(layer.name).get_parameter("weight").double()
        v = sparse.get_submodule(layer.name).get_parameter("weight").double()
        x = inputs[layer.name]
        expected = float(((w - v) @ x.T).square().sum() / (w @ x.T).square().sum())
        assert layer.error == pytest.approx(expected, rel=1e-4)


def test_the_remaining_weights_make_up_for_the_pruned_ones(
    pruned: Callable[[str], PrunedModel],
) -> None:
    lost = {method: pruned(method).before - pruned(method).after for method in one_shot_methods()}
    assert max(lost["sparsegpt"], lost["admm"]) < min(lost["wanda"], lost["asp"])


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_fine_tuning_keeps_exactly_the_mask(
    optimizer: str, pruned: Callable[[str], PrunedModel], tmp_path: Path
) -> None:
    result = pruned("sparsegpt")
    rate = {"name": optimizer, "lr": 0.05 if optimizer == "sgd" else 0.002, "weight_decay": 0.01}
    tuned = fine_tuning(experiment(optimizer=rate), result.file, PATTERN)
    assert (tuned.method.name, str(tuned.pattern)) == ("fixed", PATTERN)
    finished = Trainer(tuned, tmp_path / "tuned").train()
    assert finished.density == 0.25
    assert finished.accuracy is not None and finished.accuracy > result.after
    before, after = load_file(result.file), load_file(tmp_path / "tuned" / "model.safetensors")
    for name in LAYERS:
        key = f"{name}.weight"
        assert not bool(((before[key] == 0) & (after[key] != 0)).any())
        assert not torch.equal(before[key], after[key])


def test_a_cancelled_pruning_writes_nothing(run: Path, tmp_path: Path) -> None:
    chosen = one_shot_experiment(experiment(), run, "wanda", PATTERN)
    seen: list[str] = []
    shares: list[float] = []

    def cancel(what: str, share: float) -> None:
        seen.append(what)
        if what == "Testing the dense model":
            shares.append(share)
        if what == "Pruning" and share > 0:
            raise Cancelled

    with pytest.raises(Cancelled):
        prune(chosen, tmp_path / "pruned.safetensors", progress=cancel)
    assert seen[0] == "Loading" and shares == sorted(shares) and shares[-1] == 1
    assert "Testing the dense model" in seen
    assert not [*tmp_path.iterdir()]


def test_a_small_data_set_is_enough_for_pruning_by_magnitude(run: Path, tmp_path: Path) -> None:
    numbers = np.random.default_rng(0)
    images = numbers.integers(0, 256, (50, 28, 28), dtype=np.uint8)
    np.savez(tmp_path / "small.npz", images=images, labels=np.arange(50) % 10)
    small = experiment(data={"name": "npz", "file": str(tmp_path / "small.npz")})
    file = tmp_path / "pruned.safetensors"
    done = prune(one_shot_experiment(small, run, "asp", PATTERN), file)
    assert all(layer.error is not None for layer in done.layers) and file.exists()
    with pytest.raises(TrainingError, match="There are 40 training images, and 128 are wanted"):
        prune(one_shot_experiment(small, run, "wanda", PATTERN), tmp_path / "other.safetensors")


def test_the_random_state_of_a_run_in_another_thread_is_not_touched(
    run: Path, tmp_path: Path
) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    prune(one_shot_experiment(experiment(), run, "asp"), tmp_path / "pruned.safetensors", images=8)
    assert torch.equal(torch.get_rng_state(), before)


def test_what_cannot_be_pruned_is_refused_before_anything_is_written(
    run: Path, tmp_path: Path
) -> None:
    for method in ("lbc", "sr-ste", "maskllm", "random", "dense", "fixed"):
        with pytest.raises(ValueError, match="does not prune a model at once: choose admm, asp"):
            one_shot_experiment(experiment(), run, method)
    with pytest.raises(ValueError, match="did you mean wanda"):
        one_shot_experiment(experiment(), run, "wandaa")
    file = tmp_path / "pruned.safetensors"
    weights = dense_weights(run)
    wide = tmp_path / "wide.safetensors"
    save_file(weights | {"head.weight": torch.zeros(10, 32)}, wide)
    fewer = tmp_path / "fewer.safetensors"
    save_file({name: at for name, at in weights.items() if name != "head.bias"}, fewer)
    odd = tmp_path / "odd.safetensors"
    odd.write_bytes(b"no checkpoint")
    for checkpoint, sentence in (
        (tmp_path / "none.pt", "does not exist: check the path"),
        (wide, r"is of another network: its head.weight has the shape 10×32"),
        (fewer, r"is of another network: it lacks head.bias \(10\)"),
        (odd, "odd.safetensors"),
    ):
        with pytest.raises(TrainingError, match=sentence):
            prune(one_shot_experiment(experiment(), checkpoint, "asp"), file)
    with pytest.raises(TrainingError, match="4,000 training images, and 5,000 are wanted"):
        prune(one_shot_experiment(experiment(), run, "asp"), file, images=5000)
    with pytest.raises(TrainingError, match="exists already: choose another file"):
        prune(one_shot_experiment(experiment(), run, "asp"), odd)
    missing = tmp_path / "missing" / "pruned.safetensors"
    with pytest.raises(TrainingError, match=r"The folder .*missing does not exist"):
        prune(one_shot_experiment(experiment(), run, "asp"), missing, images=8)
    assert not file.exists()
