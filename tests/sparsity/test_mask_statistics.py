"""Every number about a mask against a plain loop over its elements."""

from __future__ import annotations

from itertools import product
from math import comb

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lbc.sparsity import mask_statistics as statistics
from lbc.sparsity.arrays import Bools
from lbc.sparsity.blocks import block_coordinates
from lbc.sparsity.combinations import members_mask
from lbc.sparsity.magnitude_layer import MagnitudeLayer
from lbc.sparsity.pattern import Pattern

PATTERNS = [
    Pattern(1, 2),
    Pattern(1, 4),
    Pattern(2, 4),
    Pattern(3, 4),
    Pattern(3, 6),
    Pattern(4, 6, 2),
]

Layer = tuple[Pattern, tuple[int, ...], torch.Generator]


@st.composite
def layers(draw: st.DrawFn) -> Layer:
    pattern = draw(st.sampled_from(PATTERNS))
    kernel = draw(st.sampled_from([(), (1, 1), (2, 3)]))
    shape = (draw(st.integers(1, 4)), pattern.m * draw(st.integers(1, 3)), *kernel)
    return pattern, shape, torch.Generator().manual_seed(draw(st.integers(0, 1 << 30)))


def blocks_of(shape: tuple[int, ...], pattern: Pattern) -> int:
    return torch.Size(shape).numel() // pattern.m


def random_mask(shape: tuple[int, ...], generator: torch.Generator, share: float = 0.5) -> Tensor:
    return torch.rand(shape, generator=generator) < share


def random_winners(layer: Layer) -> Tensor:
    pattern, shape, generator = layer
    return torch.randint(pattern.count, (blocks_of(shape, pattern),), generator=generator)


def mask_of(winners: Tensor, layer: Layer) -> Bools:
    pattern, shape, _ = layer
    return pattern.from_blocks(members_mask(winners.numpy(), pattern), shape)


@settings(max_examples=25)
@given(layers())
def test_winners_and_the_positions_they_hold_are_counted(layer: Layer) -> None:
    pattern = layer[0]
    winners = random_winners(layer)
    counts = statistics.winner_counts(winners, pattern)
    assert counts.tolist() == [winners.tolist().count(c) for c in range(pattern.count)]
    kept = statistics.kept_at_positions(counts, pattern)
    mask = pattern.to_blocks(mask_of(winners, layer))
    assert kept.tolist() == [sum(row) for row in mask.T.tolist()]


@given(st.sampled_from(PATTERNS), st.integers(1, 40))
def test_the_uniform_expectation_is_that_of_a_multinomial(pattern: Pattern, blocks: int) -> None:
    mean, deviation = statistics.uniform_expectation(blocks, pattern)
    share = 1 / pattern.count
    chances = [comb(blocks, k) * share**k * (1 - share) ** (blocks - k) for k in range(blocks + 1)]
    expected = sum(k * chance for k, chance in enumerate(chances))
    variance = sum((k - expected) ** 2 * chance for k, chance in enumerate(chances))
    assert mean == pytest.approx(expected)
    assert deviation**2 == pytest.approx(variance)


@settings(max_examples=25)
@given(layers(), st.floats(0, 0.4))
def test_dead_rows_and_columns_hold_nothing(layer: Layer, share: float) -> None:
    _, shape, generator = layer
    mask = random_mask(shape, generator, share)
    outputs = [o for o in range(shape[0]) if not any(mask[o].flatten().tolist())]
    inputs = [i for i in range(shape[1]) if not any(mask[:, i].flatten().tolist())]
    assert statistics.dead_outputs(mask).tolist() == outputs
    assert statistics.dead_inputs(mask).tolist() == inputs


@settings(max_examples=25)
@given(layers())
def test_flips_are_counted_in_both_directions(layer: Layer) -> None:
    _, shape, generator = layer
    before, after = random_mask(shape, generator), random_mask(shape, generator)
    pairs = list(zip(before.flatten().tolist(), after.flatten().tolist(), strict=True))
    flips = statistics.flips(before, after)
    assert flips.switched_on == pairs.count((False, True))
    assert flips.switched_off == pairs.count((True, False))
    assert flips.count == sum(a != b for a, b in pairs)
    assert flips.share == flips.count / len(pairs)


@settings(max_examples=25)
@given(layers(), st.booleans())
def test_magnitude_keeps_the_largest_and_the_earlier_of_equals(layer: Layer, nan: bool) -> None:
    pattern, shape, generator = layer
    weight = torch.randint(-3, 4, shape, generator=generator).float()  # many ties
    if nan:
        weight.view(-1)[0], weight.view(-1)[-1] = torch.nan, -torch.inf
    expected: Bools = np.zeros(shape, np.bool_)
    for block in range(blocks_of(shape, pattern)):
        places = block_coordinates(shape, pattern, block)
        sizes = [abs(float(weight[place])) for place in places]
        sizes = [float("inf") if size != size else size for size in sizes]
        w = pattern.width
        groups = [sum(sizes[j : j + w]) for j in range(0, pattern.m, w)]
        order = sorted(range(len(groups)), key=lambda j: (-groups[j], j))
        for group in order[: pattern.n // w]:
            for position in range(group * w, group * w + w):
                expected[places[position]] = True
    assert np.array_equal(statistics.magnitude_mask(weight, pattern), expected)


@settings(max_examples=20)
@given(layers())
def test_magnitude_agrees_with_the_layers_that_train_by_it(layer: Layer) -> None:
    pattern, shape, generator = layer
    weight = torch.randint(-9, 10, shape, generator=generator).float()
    trained = MagnitudeLayer("", weight, pattern)
    trained.remove(1)
    assert np.array_equal(statistics.magnitude_mask(weight, pattern), trained.mask.numpy())


@settings(max_examples=25)
@given(layers())
def test_agreement_counts_positions_and_whole_blocks(layer: Layer) -> None:
    pattern, shape, _ = layer
    winners = [random_winners(layer), random_winners(layer)]
    first, second = (mask_of(w, layer) for w in winners)
    found = statistics.agreement(first, second, pattern)
    equal = [a == b for a, b in zip(*(w.tolist() for w in winners), strict=True)]
    assert found.blocks == pytest.approx(sum(equal) / len(equal))
    places = list(product(*(range(size) for size in shape)))
    alike = sum(bool(first[place]) == bool(second[place]) for place in places)
    assert found.positions == pytest.approx(alike / len(places))


@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
def test_chance_is_the_mean_over_all_pairs_of_combinations(pattern: Pattern) -> None:
    every = range(pattern.count)
    masks = [members_mask(np.array([c]), pattern) for c in every]
    pairs = [statistics.agreement(a, b, pattern) for a, b in product(masks, masks)]
    found = pairs[0]
    assert found.chance_positions == pytest.approx(sum(p.positions for p in pairs) / len(pairs))
    assert found.chance_blocks == pytest.approx(sum(p.blocks for p in pairs) / len(pairs))


def test_masks_of_different_layers_are_refused() -> None:
    first, second = torch.ones((2, 4), dtype=torch.bool), torch.ones((2, 8), dtype=torch.bool)
    with pytest.raises(ValueError, match=r"\(2, 4\) cannot be compared with one of shape \(2, 8\)"):
        statistics.agreement(first, second, Pattern(2, 4))
    with pytest.raises(ValueError, match="same layer"):
        statistics.flips(first, second)
    with pytest.raises(ValueError, match="without elements"):
        statistics.agreement(first[:0], first[:0], Pattern(2, 4))


def test_infinity_is_as_large_as_nan_and_the_weight_stays_as_it_is() -> None:
    weight = torch.tensor([[torch.inf, torch.nan, 3.0, -torch.inf], [1.0, torch.nan, -2.0, 0.0]])
    before = weight.clone()
    mask = statistics.magnitude_mask(weight, Pattern(1, 4))
    assert mask.tolist() == [[True, False, False, False], [False, True, False, False]]
    assert torch.equal(weight.nan_to_num(7.0), before.nan_to_num(7.0))


def test_no_positions_have_no_share_of_flips() -> None:
    assert statistics.Flips(0, 0, 0).share == 0.0


def test_kept_weights_are_counted_in_whole_numbers() -> None:
    kept = statistics.kept_at_positions(np.array([2, 0, 1, 0, 0, 0]), Pattern(2, 4))
    assert kept.dtype == np.int64 and kept.tolist() == [3, 2, 0, 1]
