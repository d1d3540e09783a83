"""Orders of channels."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lbc.sparsity.calibration.assignment import assign
from lbc.sparsity.calibration.permutation import best_order
from lbc.sparsity.pattern import Pattern


@given(size=st.integers(1, 6), seed=st.integers(0, 999), whole=st.booleans())
@settings(max_examples=60, deadline=None)
def test_an_assignment_is_the_best_of_all(size: int, seed: int, whole: bool) -> None:
    rng = np.random.default_rng(seed)
    gains = rng.normal(size=(size, size))
    if whole:
        gains = gains.round()  # many are equal
    places = assign(gains)
    assert sorted(places) == list(range(size))
    best = max(sum(gains[range(size), order]) for order in map(list, permutations(range(size))))
    assert gains[np.arange(size), places].sum() == pytest.approx(best)


@given(
    pattern=st.sampled_from(["2:4", "1:4", "3:4", "4:8", "2:6"]),
    rows=st.integers(1, 6),
    blocks=st.integers(1, 5),
    seed=st.integers(0, 999),
)
@settings(max_examples=40, deadline=None)
def test_an_order_never_keeps_less_than_the_present_one(
    pattern: str, rows: int, blocks: int, seed: int
) -> None:
    chosen = Pattern.parse(pattern)
    channels = blocks * chosen.m
    scores = torch.rand(rows, channels, generator=torch.Generator().manual_seed(seed))
    found = best_order(scores, chosen)
    assert sorted(found.order.tolist()) == list(range(channels))

    def kept(order: torch.Tensor) -> float:
        ranked = scores[:, order].reshape(-1, chosen.m).sort(dim=1, descending=True).values
        return float(ranked[:, : chosen.n].sum())

    assert found.kept_before == pytest.approx(kept(torch.arange(channels)), rel=1e-5)
    assert found.kept == pytest.approx(kept(found.order), rel=1e-5)
    assert found.kept >= found.kept_before


def test_large_channels_that_share_blocks_are_spread() -> None:
    scores = torch.tensor([[9.0, 8, 7, 6, 0, 0, 0, 0]])
    found = best_order(scores, Pattern(2, 4))
    assert (found.kept_before, found.kept) == (17, 30)


def test_an_order_that_cannot_be_improved_stays() -> None:
    scores = torch.tensor([[9.0, 8, 0, 0, 7, 6, 0, 0]])
    assert torch.equal(best_order(scores, Pattern(2, 4)).order, torch.arange(8))
    with pytest.raises(ValueError, match="6 channels do not divide into blocks of 4"):
        best_order(scores[:, :6], Pattern(2, 4))
