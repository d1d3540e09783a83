"""A random mask: drawn once, uniformly, by the seed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lbc import Pattern, Sparsifier, sparsify
from tests.sparsity.methods.networks import (
    OPTIMIZERS,
    assert_obeys_to_the_end,
    assert_resumes_in_mid_schedule,
)


def drawn(seed: int) -> Sparsifier:
    sparsifier = sparsify(nn.Sequential(nn.Linear(64, 96), nn.Linear(96, 4)), "2:4", "random")
    sparsifier.conduct(None, 10, 5, seed=seed)
    return sparsifier


def test_the_draw_depends_on_the_seed_alone_and_each_combination_is_equally_likely() -> None:
    one, same, other = drawn(3), drawn(3), drawn(4)
    assert torch.equal(one.mask("0"), same.mask("0"))
    assert not torch.equal(one.mask("0"), other.mask("0"))
    counts = one.layers["0"].winners().bincount(minlength=6)
    expected = 64 * 96 / 4 / 6
    assert float(((counts - expected) ** 2 / expected).sum()) < 20.5  # χ² of 5 degrees, p = 0.001
    assert not one.searching and one.density() == 0.5


def test_without_a_run_torchs_generator_draws() -> None:
    def mask(seed: int) -> Tensor:
        layer = nn.Conv2d(16, 8, 3)
        torch.manual_seed(seed)
        return sparsify(layer, "4:8", "random").mask("")

    assert torch.equal(mask(1), mask(1)) and not torch.equal(mask(1), mask(2))
    assert Pattern(4, 8).to_blocks(mask(1)).sum(dim=1).eq(4).all()


def test_weights_and_gradients_are_masked() -> None:
    layer, images = nn.Linear(16, 8), torch.randn(5, 16)
    sparsifier = sparsify(layer, "2:4", "random")
    mask, weight = sparsifier.mask(""), sparsifier.dense_weight("")
    assert torch.equal(layer.weight, weight * mask)
    layer(images).square().sum().backward()
    assert weight.grad is not None and torch.equal(weight.grad != 0, mask)


def test_a_state_keeps_the_draw_of_another_seed() -> None:
    one, other = drawn(3), drawn(4)
    other.conductor.load(one.conductor.state())
    assert torch.equal(one.mask("0"), other.mask("0"))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_it_obeys_the_pattern_to_the_end(optimizer: str) -> None:
    assert_obeys_to_the_end({"name": "random"}, optimizer, "2:4")


def test_a_resumed_run_ends_in_the_same_bits(tmp_path: Path) -> None:
    assert_resumes_in_mid_schedule({"name": "random"}, "sgd", tmp_path)
