"""A layer under a stricter N:M keeps nothing that had been removed, and what was learned."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lbc.sparsity.pattern import Pattern
from lbc.sparsity.sparse_layer import SparseLayer
from lbc.sparsity.stricter_pattern import narrow, obstacle
from lbc.sparsity.trained_scores import PerCombination, PerWeight

WIDTH = 24
PAIRS = [
    ((2, 4), (1, 4)), ((2, 4), (1, 8)), ((2, 4), (2, 8)), ((3, 4), (2, 12)), ((3, 6), (1, 6)),
    ((3, 6), (3, 12)), ((2, 3), (1, 3)), ((3, 8), (2, 8)), ((1, 4), (1, 8)),
    ((4, 8, 2), (2, 8, 2)), ((2, 4, 2), (2, 12, 2)), ((4, 12, 4), (4, 24, 4)),
]  # fmt: skip
SPLIT = [((4, 8, 2), (2, 8)), ((4, 6, 2), (2, 12)), ((4, 6, 2), (1, 6))]
"""The groups of the new pattern are parts of those of the old."""
JOINED = [((4, 8), (4, 8, 2)), ((2, 4), (2, 8, 2)), ((4, 6, 2), (4, 12, 4)), ((6, 8), (2, 4, 2))]
"""They consist of several."""
LOOSER = [
    ((1, 4), (2, 4)), ((2, 4), (3, 8)), ((2, 8), (1, 2)), ((2, 4), (4, 8)), ((1, 2), (1, 3)),
    ((4, 8, 2), (4, 8)), ((4, 8, 2), (3, 8)), ((2, 4), (4, 8, 2)), ((6, 12, 3), (4, 12, 2)),
]  # fmt: skip


def layers(
    kind: type[PerWeight | PerCombination], old: Pattern, new: Pattern, seed: int
) -> tuple[SparseLayer, SparseLayer]:
    """A layer with random scores, and an untrained one of the same weight."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(3, WIDTH, 2, generator=generator)
    trained, fresh = kind("a", weight, old), kind("a", weight, new)
    with torch.no_grad():
        scores = trained.score_parameter()
        scores.add_(torch.randn(scores.shape, generator=generator))
    return trained, fresh


def masks(layer: SparseLayer) -> Tensor:
    """The mask of every live combination: bool (choices, 3 · 2, WIDTH), one row for each choice of
    a combination of a single block, the others empty."""
    incidence = layer.pattern.incidence()
    block, combination = layer.live().nonzero(as_tuple=True)
    held = torch.zeros((len(block), layer.blocks, layer.pattern.m), dtype=torch.bool)
    held[torch.arange(len(block)), block] = incidence[combination]
    return held.reshape(len(block), -1, WIDTH)


@pytest.mark.parametrize("kind", [PerWeight, PerCombination])
@settings(max_examples=25)
@given(pair=st.sampled_from(PAIRS + SPLIT), seed=st.integers(0, 1 << 20), data=st.data())
def test_what_stays_live_lies_in_what_was_live(
    kind: type[PerWeight | PerCombination],
    pair: tuple[tuple[int, ...], tuple[int, ...]],
    seed: int,
    data: st.DataObject,
) -> None:
    old, new = (Pattern(*one) for one in pair)
    before, after = layers(kind, old, new, seed)
    live = data.draw(st.integers(1, old.count))
    before.remove(live)
    if live < old.count and data.draw(st.booleans()):
        combination = int(before.winners()[0])
        before.restrict(torch.arange(old.count) == combination, 0)
    assert not obstacle(old, new, before.live_sets.complete)
    narrow(before, after)
    assert bool(after.live_sets.counts().min() >= 1)
    assert not bool((after.mask & ~before.mask).any())
    # Every mask has in each old block a part that one live combination holds, and all such are.
    holding = old.incidence()
    allowed = before.live()
    for index, mask in zip(after.live().nonzero(), masks(after), strict=True):
        parts = mask.reshape(-1, old.m)
        holds = (parts[:, None] <= holding).all(dim=2) & allowed
        assert bool(holds.any(dim=1).all()), index
    expected = [
        ((held.reshape(-1, old.m)[:, None] <= holding).all(dim=2) & rows).any(dim=1).all()
        for rows in allowed.reshape(after.blocks, -1, old.count)
        for held in new.incidence()
    ]
    assert after.live().flatten().tolist() == [bool(one) for one in expected]


@pytest.mark.parametrize(("old", "new"), LOOSER)
def test_a_pattern_that_allows_other_masks_is_refused(
    old: tuple[int, ...], new: tuple[int, ...]
) -> None:
    assert obstacle(Pattern(*old), Pattern(*new), True)


def test_narrower_blocks_fit_until_something_is_removed() -> None:
    assert not obstacle(Pattern(4, 8), Pattern(2, 4), True)
    assert "have been removed" in obstacle(Pattern(4, 8), Pattern(2, 4), False)
    before, after = layers(PerWeight, Pattern(4, 8), Pattern(2, 4), 0)
    narrow(before, after)
    assert after.live_sets.complete


@pytest.mark.parametrize(("old", "new"), JOINED)
def test_wider_groups_fit_until_something_is_removed(
    old: tuple[int, ...], new: tuple[int, ...]
) -> None:
    assert not obstacle(Pattern(*old), Pattern(*new), True)
    assert "have been removed" in obstacle(Pattern(*old), Pattern(*new), False)
    before, after = layers(PerCombination, Pattern(*old), Pattern(*new), 0)
    narrow(before, after)
    assert after.live_sets.complete


def test_groups_that_do_not_nest_are_refused() -> None:
    assert "groups of 2 are neither parts of groups of 3" in obstacle(
        Pattern(6, 12, 3), Pattern(4, 12, 2), True
    )


@settings(max_examples=20)
@given(pair=st.sampled_from(PAIRS + JOINED), seed=st.integers(0, 1 << 20))
def test_both_forms_of_scores_rank_the_new_combinations_alike(
    pair: tuple[tuple[int, ...], tuple[int, ...]], seed: int
) -> None:
    old, new = (Pattern(*one) for one in pair)
    weights, narrowed = layers(PerWeight, old, new, seed)
    assert isinstance(weights, PerWeight)
    combined = PerCombination("a", weights.mask.float(), old)
    with torch.no_grad():
        combined.all_scores.copy_(weights.block_scores(slice(None)))
    again = PerCombination("a", weights.mask.float(), new)
    narrow(weights, narrowed)
    narrow(combined, again)
    one, other = (
        layer.block_scores(slice(None)) - new.initial_score for layer in (narrowed, again)
    )
    assert torch.allclose(one, other, atol=1e-4)
