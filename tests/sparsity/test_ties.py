"""Among combinations with equal scores those with the largest weights stay."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lbc import Pattern, sparsify
from lbc.sparsity.live_sets import best, keep_best
from tests.sparsity.networks import perceptron, sgd, train
from tests.sparsity.searches import FORMS, Form, both_forms

PATTERNS = ("1:4", "2:4", "3:4", "4:8", "1:16")


def largest(weight: Tensor, pattern: Pattern) -> Tensor:
    """The mask of the N largest |w| of every block of a weight (O, I)."""
    blocks = weight.detach().abs().reshape(-1, pattern.m)
    mask = torch.zeros_like(blocks, dtype=torch.bool)
    return mask.scatter(1, blocks.topk(pattern.n).indices, True).reshape(weight.shape)


@both_forms
@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16])
def test_an_untrained_layer_keeps_its_largest_weights(
    form: Form, pattern: str, kind: torch.dtype
) -> None:
    layer = nn.Linear(64, 32).to(kind)
    with torch.no_grad():  # all sizes differ, in half precision too
        order = torch.stack([torch.randperm(16) for _ in range(128)]).reshape(32, 64)
        layer.weight.copy_((order + 1) * (torch.randn(32, 64).sign()))
    weight = layer.weight.detach().clone()
    wanted = largest(weight, Pattern.parse(pattern))
    sparsify(layer, pattern, scores=form).finalize()
    assert torch.equal(layer.weight != 0, wanted)
    assert torch.equal(layer.weight[wanted], weight[wanted])


@both_forms
def test_a_convolution_in_any_order_of_memory_keeps_its_largest_weights(form: Form) -> None:
    for build in (nn.Conv2d, nn.ConvTranspose2d):
        layer = build(8, 8, 3).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        canonical = layer.weight.detach().clone()
        if build is nn.ConvTranspose2d:
            canonical = canonical.movedim(0, 1)
        wanted = largest(canonical.movedim(1, -1).reshape(-1, 8), Pattern(2, 4))
        sparsifier = sparsify(layer, "2:4", scores=form)
        sparsifier.remove(1)
        mask = sparsifier.layers[""].mask
        assert torch.equal(mask.movedim(1, -1).reshape(-1, 8), wanted)


@both_forms
def test_removing_some_keeps_the_combinations_of_the_largest_weights(form: Form) -> None:
    layer = nn.Linear(32, 16)
    sizes = layer.weight.detach().reshape(-1, 4).abs().double()
    sums = sizes[:, Pattern(2, 4).members].sum(dim=2)
    sparsifier = sparsify(layer, "2:4", scores=form)
    for live in (5, 3, 2, 1):
        sparsifier.remove(live)
        wanted = torch.zeros_like(sums, dtype=torch.bool).scatter(1, sums.topk(live).indices, True)
        assert torch.equal(sparsifier.live(""), wanted)


@both_forms
def test_the_removal_after_training_under_a_frozen_layer_goes_by_its_present_weights(
    form: Form,
) -> None:
    model = perceptron()
    sparsifier = sparsify(model, "2:4", scores=form)
    for parameter in sparsifier.score_parameters():
        parameter.requires_grad_(False)
    train(model, sgd(model))
    for name in ("0", "2"):
        weight = sparsifier.dense_weight(name)
        weight.data = torch.randn_like(weight)  # as a user may assign them
    sparsifier.remove(1)
    for name in ("0", "2"):
        wanted = largest(sparsifier.dense_weight(name), Pattern(2, 4))
        assert torch.equal(sparsifier.mask(name), wanted)


def test_pins_and_bans_come_before_the_largest_weights() -> None:
    layer = nn.Linear(8, 4)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([1.0, 2, 3, 4]).repeat(4, 2))
    sparsifier = sparsify(layer, "2:4")
    sparsifier.pin("", 0, block=0)
    sparsifier.ban("", 5, block=1)
    sparsifier.remove(1)
    winners = sparsifier.layers[""].winners().tolist()
    assert winners == [0, 4, *[5] * 6]


@settings(deadline=None, max_examples=200)
@given(
    scores=st.lists(st.lists(st.integers(0, 3), min_size=6, max_size=6), min_size=1, max_size=5),
    data=st.data(),
    kind=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
    live=st.integers(1, 5),
)
def test_ranking_is_by_score_then_size_then_order(
    scores: list[list[int]], data: Any, kind: torch.dtype, live: int
) -> None:
    size = st.lists(st.integers(0, 2), min_size=6, max_size=6)
    sizes = data.draw(st.lists(size, min_size=len(scores), max_size=len(scores)))
    table, among = torch.tensor(scores, dtype=kind), torch.tensor(sizes, dtype=torch.float64)
    table[table == 0] = -torch.inf
    kept = keep_best(table, live, lambda rows: among[rows])
    first = best(table, lambda rows: among[rows])
    for row, (score, large) in enumerate(zip(scores, sizes, strict=True)):
        order = sorted(range(6), key=lambda c: (-score[c], -large[c], c))
        assert kept[row].nonzero()[:, 0].tolist() == sorted(c for c in order[:live] if score[c])
        if any(score):
            assert first[row] == order[0]


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_weights_that_are_not_finite_leave_as_many_as_asked_for(bad: float) -> None:
    for form, live in itertools.product(FORMS, (3, 1)):
        layer = nn.Linear(8, 4)
        with torch.no_grad():
            layer.weight[0, 0] = bad
        sparsifier = sparsify(layer, "2:4", scores=form)
        sparsifier.remove(live)
        assert set(sparsifier.live("").sum(dim=1).tolist()) == {live}


@both_forms
def test_small_differences_between_large_weights_decide(form: Form) -> None:
    layer = nn.Linear(4, 1)
    with torch.no_grad():  # 1 + 1e-9 and 1 + 2e-9 are equal in single precision
        layer.weight.copy_(torch.tensor([[1.0, 1e-9, 2e-9, 0.0]]))
    sparsify(layer, "2:4", scores=form).finalize()
    assert (layer.weight != 0).tolist() == [[True, False, True, False]]
