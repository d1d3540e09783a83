"""Means, spreads, and an exact paired test."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import nan
from statistics import fmean, stdev

import numpy as np

MOST_PAIRS = 16
"""2¹⁶ sign patterns are counted in a moment; more pairs than that are drawn at random."""

DRAWS = 100_000


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    """The mean and the sample's standard deviation (n − 1), NaN for a single value."""
    return fmean(values), stdev(values) if len(values) > 1 else nan


def paired_p(first: Sequence[float], second: Sequence[float]) -> float:
    """Two-sided p of Fisher's sign-flip test that paired values differ by nothing but chance.

    Share of the 2ⁿ ways to sign the differences whose mean is at least as far from zero; exact,
    and with no assumption on how the values are spread. n pairs cannot give less than 2¹⁻ⁿ, five
    no less than 0.0625. NaN where there is no pair.
    """
    differences = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    count = len(differences)
    if not count:
        return nan
    if count <= MOST_PAIRS:
        signs = np.array(list(product((1.0, -1.0), repeat=count)))
    else:
        generator = np.random.default_rng(0)
        signs = generator.choice((1.0, -1.0), size=(DRAWS, count))
        signs[0] = 1.0
    sums = np.abs(signs @ differences)
    # Sums that are equal but for rounding count as equal.
    return float((sums >= np.abs(differences.sum()) * (1 - 1e-12)).mean())


def smallest_p(pairs: int) -> float:
    """The least that ``paired_p`` can give for so many pairs."""
    return min(1.0, 2.0 ** (1 - pairs))
