"""Methods that prune at t_f by the inputs of the layers: wanda, ria, sparsegpt, admm, dsnot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lbc.config import Experiment, parse_experiment
from lbc.config.strict_yaml import ExperimentError
from lbc.sparsity.calibration.calibrated_layer import Pruning
from lbc.sparsity.compliance import check
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.sparsification import sparsify
from lbc.training.failures import TrainingError
from lbc.training.trainer import Trainer
from tests.training.resumption import assert_same_run, stop_at

METHODS = ("wanda", "ria", "sparsegpt", "admm", "dsnot")

LAYERS: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: nn.Linear(8, 6),
    "conv2d": lambda: nn.Conv2d(8, 6, (3, 2)),
    "grouped": lambda: nn.Conv2d(16, 6, 3, groups=2),
}
SHAPES = {"linear": (8,), "conv2d": (8, 5, 4), "grouped": (16, 5, 5)}
OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": partial(torch.optim.SGD, lr=0.05, momentum=0.9, weight_decay=1e-2),
    "adamw": partial(torch.optim.AdamW, lr=0.01),
}


def inputs(shape: tuple[int, ...], count: int) -> Tensor:
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(count))


def batches(shape: tuple[int, ...], count: int) -> Iterator[Tensor]:
    return iter(torch.split(inputs(shape, count), 5))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("method", METHODS)
def test_exactly_n_are_kept_once_decided_and_once_finalized(
    method: str, kind: str, optimizer: str
) -> None:
    torch.manual_seed(0)
    layer = LAYERS[kind]()
    sparsifier = sparsify(layer, "2:4", {"name": method, "images": 12})
    trained = OPTIMIZERS[optimizer](layer.parameters())
    conductor = sparsifier.conduct(trained, 6, 2, batches=partial(batches, SHAPES[kind]))
    pattern = Pattern(2, 4)
    decided = sparsifier.mask("")
    for step in range(1, 7):
        trained.zero_grad()
        layer(inputs(SHAPES[kind], 4)).square().mean().backward()
        trained.step()
        if step == 3:
            assert sparsifier.density() == 1 and sparsifier.searching
            sparsifier.decide()
            assert not sparsifier.searching
            decided = sparsifier.mask("")
            assert bool((pattern.to_blocks(decided).sum(dim=1) == 2).all())
    assert torch.equal(sparsifier.mask(""), decided)
    assert 0 < conductor.numbers()["output error"] < 1
    sparsifier.finalize()
    weight = layer.get_parameter("weight").detach()
    assert check(weight, pattern).valid and torch.equal(weight != 0, decided)


def test_wanda_with_inputs_of_equal_norms_is_asp() -> None:
    torch.manual_seed(0)
    masks = []
    for method in ("asp", "wanda"):
        model = nn.Sequential(nn.Linear(16, 12, bias=False), nn.Linear(12, 2))
        with torch.no_grad():
            generator = torch.Generator().manual_seed(1)
            model[0].weight.copy_(torch.randn(12, 16, generator=generator).half())  # type: ignore[operator]
        sparsifier = sparsify(model, "2:4", method)
        sparsifier.conduct(None, 2, 1, batches=lambda count: iter([3 * torch.eye(16)]))
        sparsifier.decide()
        sparsifier.remove(1)
        masks.append(sparsifier.mask("0"))
    assert torch.equal(*masks)


def test_admm_without_iterations_is_wanda_and_other_options_are_passed_on() -> None:
    def pruned(options: object) -> Tensor:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(16, 12), nn.Linear(12, 2))
        sparsifier = sparsify(model, "2:4", options)  # type: ignore[arg-type]
        large = [30 * images + 20 for images in batches((16,), 12)]
        sparsifier.conduct(None, 2, 1, batches=lambda count: iter(large))
        sparsifier.finalize()
        return model.get_parameter("0.weight").detach()

    wanda = pruned("wanda")
    torch.testing.assert_close(pruned({"name": "admm", "iterations": 0}), wanda)
    assert torch.equal(pruned({"name": "dsnot", "cycles": 0}), wanda)
    for name, option, value in (
        ("admm", "damping", 1.0),
        ("admm", "penalty", 3.0),
        ("sparsegpt", "damping", 1.0),
        ("dsnot", "initial", "magnitude"),
        ("dsnot", "threshold", 50.0),
        ("dsnot", "variance_power", 0.0),
        ("ria", "power", 2.0),
    ):
        assert not torch.equal(pruned({"name": name, option: value}), pruned(name)), option


def experiment(method: str, folder: Path, **options: object) -> Experiment:
    images = np.random.default_rng(0).integers(0, 256, (128, 8, 8), dtype=np.uint8)
    np.savez(folder / "small.npz", images=images, labels=np.arange(128) % 4)
    return parse_experiment({
        "data": {"name": "npz", "file": str(folder / "small.npz"), "test_share": 0.25},
        "method": {"name": method, "images": 64, **options},
        "pattern": "2:4",
        "model": {"name": "convnet", "width": 8, "depth": 2},
        "training": {"epochs": 3, "batch_size": 24},
        "schedule": {"end": 2},
    })  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_a_run_stopped_before_or_after_t_f_resumes_to_the_same_bits(
    method: str, tmp_path: Path
) -> None:
    used = experiment(method, tmp_path)
    whole = Trainer(used, tmp_path / "whole")
    whole.train()
    steps = whole._prepared.steps_per_epoch
    stop_at(steps + 1, used, tmp_path / "run")
    stop_at(2 * steps + 1, used, tmp_path / "run", resume=True)
    last = Trainer(used, tmp_path / "run", resume=True)
    last.train()
    assert_same_run(tmp_path / "run", tmp_path / "whole")
    first, again = whole._sparsifier.conductor, last._sparsifier.conductor
    assert isinstance(first, Pruning) and isinstance(again, Pruning)
    assert first.errors == again.errors and len(first.errors) > 0


def test_what_calibration_lacks_is_said_before_training(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"asks for 9,000 images.*lower method\.images"):
        Trainer(experiment("wanda", tmp_path, images=9000), tmp_path / "run").train()
    with pytest.raises(ExperimentError, match="at least 1, not 0"):
        experiment("wanda", tmp_path, images=0)
    embedded = nn.Sequential(nn.Embedding(10, 8), nn.Linear(8, 8), nn.Linear(8, 2))
    sparsifier = sparsify(embedded, "2:4", "wanda", overrides={"0": "2:4"})
    with pytest.raises(ValueError, match=r"inputs of layer '0' cannot be observed.*Embedding"):
        sparsifier.conduct(None, 2, 1, batches=lambda count: iter([torch.tensor([[1], [2]])]))
    with pytest.raises(ValueError, match="give batches to Sparsifier"):
        sparsifier.conduct(None, 2, 1)


def test_no_mask_is_chosen_without_calibration() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 2))
    sparsifier = sparsify(model, "2:4", "wanda")
    for end in (partial(sparsifier.remove, 1), sparsifier.finalize):
        with pytest.raises(ValueError, match="Layer '0' is not pruned yet, which wanda does by"):
            end()
    assert sparsifier.density() == 1


def test_ria_reorders_channels_on_request_and_says_how_many_layers(tmp_path: Path) -> None:
    used = experiment("ria", tmp_path, permute=True)
    whole = Trainer(used, tmp_path / "whole")
    whole.train()
    stop_at(whole._prepared.steps_per_epoch * 2 + 1, used, tmp_path / "run")
    last = Trainer(used, tmp_path / "run", resume=True)
    last.train()
    assert_same_run(tmp_path / "run", tmp_path / "whole")
    assert last._sparsifier.conductor.numbers()["reordered layers"] == 1
    shown = [one for layer in last._sparsifier.layers.values() if (one := layer.pictures())]
    assert len(shown) == 1 and [*shown[0]] == [
        "former channel",
        "score kept",
        "score kept before",
    ]
    moved, now, before = (one.values.flatten() for one in shown[0].values())
    assert sorted(moved.tolist()) == list(range(len(moved))) != moved.tolist()
    assert len(set(now.tolist())) <= len(now) // 4 and 0.5 < before.mean() < now.mean() < 1
    assert f"{float(now.mean()):.2%} on average" in shown[0]["score kept"].caption
    plain = Trainer(experiment("ria", tmp_path), None)
    plain.train()
    assert "reordered layers" not in plain._sparsifier.conductor.numbers()
    with pytest.raises(ExperimentError, match=r"training\.ema_decay.*running average"):
        parse_experiment({
            "method": {"name": "ria", "permute": True},
            "training": {"ema_decay": 0.9},
        })  # fmt: skip
