"""Runs that start from the weights of another network, for methods that need trained ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from lbc.config import Experiment, parse_experiment
from lbc.models import build
from lbc.sparsity.compliance import check
from lbc.training.trainer import Trainer
from tests.training.resumption import assert_same_run, stop_at

MODEL = {"name": "convnet", "width": 8, "depth": 3}
STEPS_PER_EPOCH = 4


def experiment_from(
    folder: Path, method: Mapping[str, object], optimizer: str = "sgd", **training: object
) -> Experiment:
    """Two epochs of four steps on 8×8 pixels, from weights that are in the folder."""
    pixels = np.random.default_rng(0).integers(0, 256, (64, 8, 8), dtype=np.uint8)
    np.savez(folder / "small.npz", images=pixels, labels=np.arange(64) % 4)
    torch.manual_seed(3)
    network = Experiment.model_validate({"model": MODEL}).model
    torch.save(build(network, (1, 8, 8), 4).state_dict(), folder / "dense.pt")
    weights = str(folder / "dense.pt")
    return parse_experiment({
        "method": dict(method),
        "data": {"name": "npz", "file": str(folder / "small.npz"), "test_share": 0.25},
        "model": MODEL,
        "training": {"epochs": 2, "batch_size": 12, "weights": weights, **training},
        "schedule": {"end": 2},
        "optimizer": {"name": optimizer, "lr": 0.02},
    })  # fmt: skip


def weights_before(folder: Path) -> dict[str, Tensor]:
    """What the run starts from."""
    weights: dict[str, Tensor] = torch.load(folder / "dense.pt", weights_only=True)
    return weights


def assert_ends_with_the_weights_it_began_with(experiment: Experiment, folder: Path) -> None:
    """What a run keeps of every sparse weight is N:M, and is what it started from."""
    trainer = Trainer(experiment, folder / "run")
    assert trainer.train().density == experiment.pattern.density
    before, after = weights_before(folder), load_file(folder / "run" / "model.safetensors")
    layers = trainer._sparsifier.layers
    assert layers
    for name, pattern in ((name, layer.pattern) for name, layer in layers.items()):
        found = check(after[f"{name}.weight"], pattern)
        assert found.valid and found.density == pattern.density
    for name, weight in before.items():
        if "running" not in name and "num_batches" not in name:
            kept = after[name] != 0
            assert torch.equal(after[name][kept], weight[kept])


def assert_resumes_in_mid_schedule(experiment: Experiment, folder: Path) -> None:
    """A run stopped within an epoch and resumed ends in the bits of an undisturbed one."""
    Trainer(experiment, folder / "expected").train()
    stop_at(STEPS_PER_EPOCH + 2, experiment, folder / "stopped")
    Trainer(experiment, folder / "stopped", resume=True).train()
    assert_same_run(folder / "stopped", folder / "expected")


def kinds() -> dict[str, nn.Module]:
    """A small layer of each kind, in float64, with the input of ``images_of``."""
    torch.manual_seed(0)
    return {
        "linear": nn.Linear(8, 6).double(),
        "conv2d": nn.Conv2d(8, 4, (3, 2)).double(),
        "grouped": nn.Conv2d(16, 6, 3, groups=2).double(),
    }
