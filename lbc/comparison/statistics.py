"""Mean, standard deviation, and an exact paired test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from math import isnan, nan
from statistics import fmean, stdev
from typing import TypeVar

import numpy as np

MAX_EXACT_PAIRS = 16
"""Up to 2¹⁶ sign patterns are enumerated; for more pairs, ``DRAWS`` are sampled."""

DRAWS = 100_000


@dataclass(frozen=True)
class SeedSummary:
    """One value of ``runs`` runs that differ in their seeds: mean and sample deviation.

    ``difference`` and ``p`` compare it with a baseline over the ``pairs`` seeds that both have;
    without any they are 0 and NaN. ``holm`` is p after ``correct_tests``, and NaN before.
    """

    mean: float
    deviation: float
    runs: int
    difference: float
    p: float
    pairs: int
    holm: float = field(default=nan, kw_only=True)


Row = TypeVar("Row", bound=SeedSummary)


def summarise_seeds(own: Mapping[int, float], baseline: Mapping[int, float]) -> SeedSummary:
    """Summarise the values by seed of one kind of run, at least one, beside those of another."""
    seeds = [seed for seed in own if seed in baseline]
    first, second = [own[seed] for seed in seeds], [baseline[seed] for seed in seeds]
    difference = fmean(a - b for a, b in zip(first, second, strict=True)) if seeds else 0.0
    mean, deviation = mean_and_deviation(list(own.values()))
    p = paired_p(first, second)
    return SeedSummary(mean, deviation, len(own), difference, p, len(seeds))


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    """The mean and the sample standard deviation (n − 1), NaN for a single value."""
    return fmean(values), stdev(values) if len(values) > 1 else nan


def paired_p(first: Sequence[float], second: Sequence[float]) -> float:
    """Two-sided p-value of Fisher's sign-flip test for paired values.

    The fraction of the 2ⁿ sign patterns of the differences whose mean is at least as far from zero;
    exact, and without assumptions on the distribution. The smallest possible value for n pairs is
    2¹⁻ⁿ, which is 0.0625 for five. NaN without pairs.
    """
    differences = tuple(a - b for a, b in zip(first, second, strict=True))
    return _sign_flip_p(differences) if differences else nan


@lru_cache(maxsize=1024)  # a table of results is computed anew whenever a run ends
def _sign_flip_p(differences: tuple[float, ...]) -> float:
    count = len(differences)
    if count <= MAX_EXACT_PAIRS:
        sums = np.zeros(1)
        for difference in differences:
            sums = np.concatenate((sums + difference, sums - difference))
    else:
        generator = np.random.default_rng(0)
        signs = generator.choice((1.0, -1.0), size=(DRAWS, count))
        signs[0] = 1.0
        sums = signs @ np.array(differences)
    # The tolerance counts sums as equal that differ only by rounding.
    return float((np.abs(sums) >= abs(sum(differences)) * (1 - 1e-12)).mean())


def correct_tests(rows: Sequence[Row]) -> tuple[Row, ...]:
    """The rows with ``holm``: p corrected for all rows of them that are tested, as one family."""
    tested = [row.p for row in rows if not isnan(row.p)]
    corrected = iter(holm_p(tested))
    return tuple(row if isnan(row.p) else replace(row, holm=next(corrected)) for row in rows)


def holm_p(values: Sequence[float]) -> tuple[float, ...]:
    """The p-values of m tests, each corrected for the others (Holm, 1979).

    The k-th smallest becomes the largest of (m − j + 1) · p_j over j ≤ k, and at most 1: with those
    below α rejected, a true hypothesis is among them with probability α at most, however the tests
    depend on each other.
    """
    order = sorted(range(len(values)), key=values.__getitem__)
    corrected, largest = [0.0] * len(values), 0.0
    for place, at in enumerate(order):
        largest = max(largest, min(1.0, (len(values) - place) * values[at]))
        corrected[at] = largest
    return tuple(corrected)


def smallest_p(pairs: int) -> float:
    """The smallest possible ``paired_p`` for this number of pairs."""
    return min(1.0, 2.0 ** (1 - pairs))
