"""A small convolutional network, trained by hand and in runs, for tests of single methods."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from lbc.config import Experiment, parse_experiment
from lbc.sparsity.compliance import check
from lbc.sparsity.sparsification import sparsify
from lbc.sparsity.sparsifier import Sparsifier
from lbc.training.trainer import Trainer
from tests.training.resumption import assert_same_run, stop_at

OPTIMIZERS: dict[str, Callable[[nn.Module], torch.optim.Optimizer]] = {
    "sgd": lambda model: torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9),
    "adamw": lambda model: torch.optim.AdamW(model.parameters(), lr=0.01),
}


def convolutions() -> nn.Sequential:
    """A dense convolution, a sparse and a sparse grouped one, a sparse Linear, a dense head."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 8, 3), nn.ReLU(),
        nn.Conv2d(8, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 8, 3, groups=2, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4),
    )  # fmt: skip


def pictures(count: int = 6, seed: int = 0) -> Tensor:
    """Inputs of the network: (count, 2, 8, 8)."""
    return torch.randn(count, 2, 8, 8, generator=torch.Generator().manual_seed(seed))


def step(sparsifier: Sparsifier, optimizer: torch.optim.Optimizer, number: int) -> None:
    """One step of training, with the conductor's moments."""
    conductor = sparsifier.conductor
    sparsifier.model.train()
    optimizer.zero_grad()
    conductor.before_step(number)
    loss = sparsifier.model(pictures(seed=number)).square().mean()
    penalty = conductor.penalty()
    (loss if penalty is None else loss + penalty).backward()
    conductor.before_update(number)
    optimizer.step()
    conductor.after_update(number)


def trained(
    method: Mapping[str, object], optimizer: str = "sgd", pattern: str = "2:4", steps: int = 4
) -> Sparsifier:
    """The network after some steps; nothing is decided."""
    model = convolutions()
    sparsifier = sparsify(model, pattern, method)
    optimiser = OPTIMIZERS[optimizer](model)
    given = {"batches": lambda count: iter([pictures(count)])}
    sparsifier.conduct(optimiser, 2 * steps, steps, seed=1, **given)  # type: ignore[arg-type]
    for number in range(1, steps + 1):
        step(sparsifier, optimiser, number)
    return sparsifier


def assert_obeys_to_the_end(method: Mapping[str, object], optimizer: str, pattern: str) -> None:
    """Every layer has its N:M once decided, and the finalized model computes the same."""
    sparsifier = trained(method, optimizer, pattern)
    patterns = {name: layer.pattern for name, layer in sparsifier.layers.items()}
    assert set(patterns) == {"2", "5", "10"}
    model = sparsifier.model.eval()
    sparsifier.decide()
    with torch.no_grad():
        evaluated = model(pictures())
        for name, expected in patterns.items():
            assert check(model.get_submodule(name).weight, expected).valid  # type: ignore[arg-type]
            assert int(sparsifier.mask(name).sum()) > 0
    plain = convolutions()
    plain.load_state_dict(sparsifier.dense_state_dict())
    sparsifier.finalize()
    with torch.no_grad():
        assert torch.equal(model(pictures()), evaluated)
        assert torch.equal(plain.eval()(pictures()), evaluated)
    for name, expected in patterns.items():
        found = check(model.get_parameter(f"{name}.weight"), expected)
        assert found.valid and found.density > 0.9 * expected.density


def assert_resumes_in_mid_schedule(
    method: Mapping[str, object], optimizer: str, folder: Path
) -> Sparsifier:
    """A run stopped within an epoch and resumed ends in the bits of an undisturbed one."""
    pixels = np.random.default_rng(0).integers(0, 256, (64, 8, 8), dtype=np.uint8)
    np.savez(folder / "small.npz", images=pixels, labels=np.arange(64) % 4)
    experiment = parse_experiment({
        "method": dict(method),
        "data": {"name": "npz", "file": str(folder / "small.npz"), "test_share": 0.25},
        "model": {"name": "convnet", "width": 8, "depth": 2},
        "training": {"epochs": 2, "batch_size": 12},
        "schedule": {"end": 2},
        "optimizer": {"name": optimizer, "lr": 0.02},
    })  # fmt: skip
    Trainer(experiment, folder / "expected").train()
    stop_at(6, experiment, folder / "run")
    trainer = Trainer(experiment, folder / "run", resume=True)
    trainer.train()
    assert_same_run(folder / "run", folder / "expected")
    return trainer._sparsifier


def refused(**sections: object) -> Experiment:
    """An experiment of the sections, which a test expects to be refused."""
    return parse_experiment({"model": {"name": "mlp", "width": 16}} | sections)
