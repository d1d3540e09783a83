"""Densities of layers within a budget: nothing more would fit, and ERK keeps its order."""

from __future__ import annotations

from fractions import Fraction
from math import prod

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lbc.sparsity.allocation import RULES, Budget, Shape, allocate, erk_density

shapes = st.lists(
    st.tuples(st.integers(1, 64), st.integers(1, 64)).flatmap(
        lambda at: st.sampled_from([at, (*at, 3), (*at, 3, 3), (*at, 1, 1)])
    ),
    min_size=1,
    max_size=8,
)
shares = st.floats(0.01, 0.99)


def budget(layers: list[Shape], positions: list[int], fixed: int, share: float) -> Budget:
    costs = tuple(prod(at) * uses for at, uses in zip(layers, positions, strict=False))
    return Budget("multiply-adds", share, sum(costs) + fixed, Fraction(fixed), costs)


positions = st.lists(st.integers(1, 100), min_size=8, max_size=8)


@pytest.mark.parametrize("rule", RULES)
@given(shapes, positions, st.integers(0, 5000), shares, shares, st.sampled_from([2, 4, 10, 16]))
def test_a_budget_holds_nothing_more_fits_and_a_larger_one_keeps_more(
    rule: str, layers: list[Shape], uses: list[int], fixed: int, one: float, two: float, m: int
) -> None:
    small, large = sorted((one, two))
    budgets = [budget(layers, uses, fixed, small), budget(layers, [1] * 8, 0, 0.99)]
    assume(all(at.holds([1] * len(layers), m) for at in budgets))
    kept = allocate(rule, layers, m, budgets)
    assert all(1 <= n <= m for n in kept) and len(kept) == len(layers)
    assert all(at.reached(kept, m) <= at.share for at in budgets)
    alone = allocate(rule, layers, m, budgets[:1])
    more = allocate(rule, layers, m, [budget(layers, uses, fixed, large)])
    assert budgets[0].reached(more, m) >= budgets[0].reached(alone, m)
    for grown in larger(rule, layers, kept):
        assert max(grown) > m or not all(at.holds(grown, m) for at in budgets)


def larger(rule: str, layers: list[Shape], kept: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The next larger choices that the rule has."""
    if rule == "uniform":
        assert len(set(kept)) == 1
        return [tuple(n + 1 for n in kept)]
    ratios = [erk_density(at) for at in layers]
    grown = [(*kept[:at], kept[at] + 1, *kept[at + 1 :]) for at in range(len(layers))]
    return [choice for choice in grown if in_order(ratios, choice)]


def in_order(ratios: list[float], kept: tuple[int, ...]) -> bool:
    pairs = list(zip(ratios, kept, strict=True))
    return all(n >= fewer for a, n in pairs for b, fewer in pairs if a > b)


@given(shapes, positions, shares, st.sampled_from([4, 16]))
def test_erk_keeps_more_of_layers_that_have_fewer_weights_for_their_width(
    layers: list[Shape], uses: list[int], share: float, m: int
) -> None:
    one = budget(layers, uses, 0, share)
    assume(one.holds([1] * len(layers), m))
    assert in_order([erk_density(at) for at in layers], allocate("erk", layers, m, [one]))


def test_erk_is_the_formula_and_its_densities_are_in_proportion() -> None:
    assert erk_density((128, 64, 3, 3)) == (128 + 64 + 3 + 3) / (128 * 64 * 9)
    layers: list[Shape] = [(64, 64, 3, 3), (128, 128, 3, 3), (256, 256, 3, 3), (64, 64)]
    weights = [prod(at) for at in layers]
    m = 1024
    whole = Budget("weights", 0.1, sum(weights), Fraction(0), tuple(weights))
    *kept, square = allocate("erk", layers, m, [whole])
    factors = [n / m / erk_density(at) for n, at in zip(kept, layers[:3], strict=True)]
    assert max(factors) / min(factors) < 1.03
    assert square == m  # which would be above one
    assert whole.reached([*kept, square], m) == pytest.approx(0.1, abs=1e-4)


def test_three_tenths_are_three_of_ten() -> None:
    one = Budget("weights", 0.3, 100, Fraction(0), (100,))
    assert allocate("uniform", [(1, 100)], 10, [one]) == (3,)
    assert allocate("erk", [(1, 100)], 10, [one]) == (3,)


def test_uniform_of_half_the_weights_is_half_of_each_block() -> None:
    half = Budget("weights", 0.5, 3000, Fraction(0), (1000, 2000))
    assert allocate("uniform", [(10, 100), (20, 100)], 4, [half]) == (2, 2)
    beside = Budget("weights", 0.5, 4000, Fraction(1000), (1000, 2000))
    assert allocate("uniform", [(10, 100), (20, 100)], 4, [beside]) == (1, 1)


@pytest.mark.parametrize("share", [0.0, 1.0, 1.5, -0.5, float("nan"), float("inf")])
def test_a_share_outside_the_network_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="above 0 and below 1, the dense network"):
        allocate("erk", [(8, 8)], 4, [Budget("weights", share, 64, Fraction(0), (64,))])


def test_a_budget_below_one_of_m_everywhere_says_what_is_needed() -> None:
    tight = Budget("weights", 0.3, 128, Fraction(64), (64,))
    with pytest.raises(ValueError, match=r"30\.00% of the weights .* 1:4 .* needs 62\.50%"):
        allocate("uniform", [(8, 8)], 4, [tight])
    with pytest.raises(ValueError, match="No layer is left"):
        allocate("uniform", [], 4, [tight])
