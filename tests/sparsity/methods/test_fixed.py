"""A fixed mask: that of the weights that training starts from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from lbc import Pattern, sparsify
from tests.sparsity.methods.networks import (
    OPTIMIZERS,
    assert_obeys_to_the_end,
    assert_resumes_in_mid_schedule,
)


def test_the_mask_is_that_of_the_weights_that_are_not_zero() -> None:
    torch.manual_seed(0)
    pattern, layer, images = Pattern(2, 4), nn.Conv2d(16, 8, 3), torch.randn(2, 16, 5, 5)
    kept = sparsify(nn.Conv2d(16, 8, 3), pattern, "random").mask("")
    with torch.no_grad():
        layer.weight.mul_(kept)
    sparsifier = sparsify(layer, pattern, "fixed")
    assert torch.equal(sparsifier.mask(""), kept) and not sparsifier.searching
    weight = sparsifier.dense_weight("")
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    layer(images).square().sum().backward()
    assert weight.grad is not None and torch.equal(weight.grad != 0, kept)
    optimizer.step()  # far enough for other weights to be the largest
    assert torch.equal(sparsifier.mask(""), kept) and torch.equal(layer.weight != 0, kept)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_it_obeys_the_pattern_to_the_end(optimizer: str) -> None:
    assert_obeys_to_the_end({"name": "fixed"}, optimizer, "2:4")


def test_a_resumed_run_ends_in_the_same_bits(tmp_path: Path) -> None:
    assert_resumes_in_mid_schedule({"name": "fixed"}, "adamw", tmp_path)
