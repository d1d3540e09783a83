"""ProxSparse maps blocks of four towards 2:4, and ends with the mask and the first weights."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
import torch
from torch import Tensor, nn

from lbc import sparsify
from lbc.config import parse_experiment
from lbc.config.strict_yaml import ExperimentError
from lbc.sparsity.compliance import check
from lbc.sparsity.methods.proxsparse import proximal_map
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.schedule import Schedule
from lbc.training.trainer import Trainer
from tests.sparsity.methods.pretrained import (
    assert_ends_with_the_weights_it_began_with,
    assert_resumes_in_mid_schedule,
    experiment_from,
    kinds,
    weights_before,
)


def objective(w: list[float], z: list[float], strength: float) -> float:
    triples = ((0, 1, 2), (1, 2, 3), (2, 3, 0), (3, 0, 1))
    products = sum(abs(w[i] * w[j] * w[k]) for i, j, k in triples)
    return sum((a - b) ** 2 for a, b in zip(w, z, strict=True)) / 2 + strength * products


def slowly(z: list[float], strength: float) -> list[float]:
    """The best of the three candidates for one block, each solved in turn, in Python's floats."""
    order = sorted(range(4), key=lambda j: (-abs(z[j]), j))
    sizes = [abs(z[j]) for j in order]
    candidates = [[*sizes[:2], 0.0, 0.0]]
    for count in (3, 4):
        w = [0.0] * 4
        for _ in range(100):
            for j in range(count - 1, -1, -1):
                others = [w[k] for k in range(count) if k != j]
                pairs = sum(a * b for i, a in enumerate(others) for b in others[:i])
                w[j] = max(sizes[j] - strength * pairs, 0.0)
        candidates.append(w)
    best = min(candidates, key=lambda w: objective(w, sizes, strength))
    mapped = [0.0] * 4
    for place, j in enumerate(order):
        mapped[j] = best[place] * (1 if z[j] > 0 else -1)
    return mapped


@pytest.mark.parametrize(("scale", "strength"), [(0.05, 0.25), (1.0, 0.25), (1.0, 1.0), (3.0, 0.5)])
def test_the_proximal_map_is_the_best_of_three_candidates(scale: float, strength: float) -> None:
    torch.manual_seed(0)
    blocks = torch.randn(60, 4, dtype=torch.float64) * scale
    mapped = proximal_map(blocks, strength)
    for z, w in zip(blocks.tolist(), mapped.tolist(), strict=True):
        assert w == pytest.approx(slowly(z, strength), rel=1e-4, abs=1e-6 * scale)
        near = [[a + float(b) for a, b in zip(w, torch.randn(4) * 0.02, strict=True)] for _ in "12"]
        least = objective(w, z, strength)
        assert least <= min(objective(one, z, strength) for one in (z, *near)) + 1e-9


def test_the_proximal_map_leaves_two_of_four_and_zeros_as_they_are() -> None:
    blocks = torch.tensor([[0.0, 3.0, 0.0, -2.0], [0.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0]])
    assert torch.equal(proximal_map(blocks, 0.5), blocks)
    strong = proximal_map(torch.tensor([[1.0, -2.0, 3.0, -4.0]]), 1e4)
    assert strong.tolist() == [[0.0, 0.0, 3.0, -4.0]]


@pytest.mark.parametrize("kind", ["linear", "conv2d", "grouped"])
def test_every_update_is_followed_by_the_map_until_the_mask_is_fixed(kind: str) -> None:
    module = kinds()[kind]
    sparsifier = sparsify(module, "2:4", {"name": "proxsparse", "restore": False})
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    conductor = sparsifier.conduct(optimizer, 4, 2, Schedule(end=2))
    dense = sparsifier.dense_weight("")
    pattern, before = Pattern(2, 4), dense.detach().clone()
    conductor.after_update(1)
    expected = proximal_map(pattern.to_blocks(before), 0.25)
    assert torch.equal(pattern.to_blocks(dense.detach()), expected)
    sizes = pattern.to_blocks(dense.detach().abs())
    sparsifier.decide()
    kept = pattern.to_blocks(sparsifier.mask(""))
    assert torch.equal(kept, sizes >= sizes.topk(2).values[:, -1:])
    fixed = dense.detach().clone()
    conductor.after_update(3)
    assert torch.equal(dense, fixed)
    sparsifier.finalize()
    found = check(cast(Tensor, module.weight).detach(), pattern)
    assert found.valid and found.density == 0.5


def test_a_transposed_weight_is_mapped_in_its_own_blocks() -> None:
    module = nn.ConvTranspose1d(8, 8, 3)
    sparsifier = sparsify(module, "2:4", "proxsparse")
    before = module.parametrizations.weight.original.detach().clone()  # type: ignore[union-attr, operator]
    sparsifier.conduct(None, 4, 2).after_update(1)
    pattern, (name,) = Pattern(2, 4), sparsifier.layers
    expected = proximal_map(pattern.to_blocks(before.transpose(0, 1)), 0.25)
    mapped = sparsifier.dense_weight(name).detach().transpose(0, 1)
    assert torch.equal(pattern.to_blocks(mapped), expected)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_run_ends_with_the_weights_it_began_with(optimizer: str, tmp_path: Path) -> None:
    experiment = experiment_from(tmp_path, {"name": "proxsparse"}, optimizer)
    assert_ends_with_the_weights_it_began_with(experiment, tmp_path)


@pytest.mark.parametrize(
    ("optimizer", "restore", "epochs"), [("sgd", True, 3), ("adamw", False, 2)]
)
def test_a_run_resumes_in_mid_schedule(
    optimizer: str, restore: bool, epochs: int, tmp_path: Path
) -> None:
    method = {"name": "proxsparse", "restore": restore, "strength": 1.0}
    experiment = experiment_from(tmp_path, method, optimizer, epochs=epochs)
    assert_resumes_in_mid_schedule(experiment, tmp_path)


def test_the_whole_network_goes_back_unless_it_should_not(tmp_path: Path) -> None:
    for restore in (True, False):
        method = {"name": "proxsparse", "restore": restore, "strength": 2.0}
        trainer = Trainer(experiment_from(tmp_path, method), None)
        trainer.train()
        after, before = trainer._sparsifier.model.state_dict(), weights_before(tmp_path)
        plain = [name for name in before if name in after]
        assert any("running_mean" in name for name in plain)
        assert all(torch.equal(after[name], before[name]) for name in plain) == restore
        assert trainer._sparsifier.conductor.state() == {}


def test_numbers_are_the_share_of_sparse_blocks() -> None:
    module = nn.Linear(8, 1)
    sparsifier = sparsify(module, "2:4", "proxsparse")
    with torch.no_grad():
        sparsifier.dense_weight("").copy_(torch.tensor([[1.0, 0, 0, 2.0, 1.0, 2.0, 0, 3.0]]))
    assert sparsifier.conduct(None, 4, 2).numbers() == {"Blocks that are 2:4": 0.5}


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"pattern": "1:4"}, "pattern: proxsparse cannot train 1:4: its proximal map is known for"),
        ({}, "proxsparse ends with the weights it starts from: start from trained weights"),
        ({"training": {"ema_decay": 0.9}}, "training.ema_decay: proxsparse puts the network back"),
        ({"method": {"name": "proxsparse", "strength": -1}}, "Must be at least 0, not -1."),
    ],
)
def test_bad_settings_are_refused_with_a_sentence(sections: dict[str, object], said: str) -> None:
    with pytest.raises(ExperimentError) as caught:
        parse_experiment({"method": "proxsparse", **sections})
    assert said in str(caught.value)
    new = {"name": "proxsparse", "restore": False}
    parse_experiment({"method": new, "training": {"ema_decay": 0.9}})
    with pytest.raises(
        ValueError, match=r"cannot train layer '': its proximal map is known for 2:4"
    ):
        sparsify(nn.Linear(8, 8), "4:8", "proxsparse")
