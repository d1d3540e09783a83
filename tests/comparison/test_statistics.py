"""Means and deviations over seeds, and an exact test with Holm's correction."""

from __future__ import annotations

from itertools import product
from math import isnan, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbc.comparison.statistics import (
    SeedSummary,
    correct_tests,
    holm_p,
    mean_and_deviation,
    paired_p,
    smallest_p,
)

VALUES = st.lists(st.floats(-100, 100).map(lambda x: round(x, 3)), min_size=1, max_size=8)


@given(VALUES)
def test_the_paired_test_counts_all_sign_patterns_of_the_differences(values: list[float]) -> None:
    observed = abs(sum(values))
    ways = [abs(sum(s * v for s, v in zip(signs, values, strict=True)))
            for signs in product((1, -1), repeat=len(values))]  # fmt: skip
    expected = sum(way >= observed - 1e-9 for way in ways) / len(ways)
    assert paired_p(values, [0.0] * len(values)) == pytest.approx(expected)


@given(VALUES)
def test_the_paired_test_is_symmetric(values: list[float]) -> None:
    zeros = [0.0] * len(values)
    assert paired_p(values, zeros) == paired_p(zeros, values)
    assert paired_p(values, values) == 1


def test_five_differences_of_the_same_sign_give_the_smallest_p() -> None:
    assert paired_p([1, 2, 3, 4, 5], [0] * 5) == smallest_p(5) == 0.0625
    assert paired_p([1.0] * 40, [0.0] * 40) < 0.001


def test_the_mean_and_standard_deviation_are_those_of_the_sample() -> None:
    mean, deviation = mean_and_deviation([1.0, 3.0])
    assert (mean, deviation) == pytest.approx((2.0, np.sqrt(2)))
    assert np.isnan(mean_and_deviation([1.0])[1])


def test_holm_multiplies_the_smallest_p_by_the_number_of_tests_and_never_falls() -> None:
    # By hand: 0.01 × 4, 0.02 × 3, then 0.025 × 2 = 0.05 and 0.03 × 1, each at least as the last.
    assert holm_p([0.025, 0.01, 0.03, 0.02]) == pytest.approx((0.06, 0.04, 0.06, 0.06))
    assert holm_p([0.5, 0.6]) == (1.0, 1.0)
    assert holm_p([0.2]) == (0.2,)
    assert holm_p([]) == ()


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_keeps_the_order_and_is_between_p_and_1(values: list[float]) -> None:
    corrected = holm_p(values)
    for (p, holm), (q, other) in product(zip(values, corrected, strict=True), repeat=2):
        assert p <= holm <= min(1.0, len(values) * p) or p == holm == 1.0
        assert holm <= other if p <= q else True


def test_rows_without_a_test_are_no_part_of_the_family() -> None:
    rows = [SeedSummary(90.0, 1.0, 5, 0.0, p, 5) for p in (nan, 0.02, 0.04)]
    untested, *tested = correct_tests(rows)
    assert isnan(untested.holm)
    assert [row.holm for row in tested] == pytest.approx([0.04, 0.04])
