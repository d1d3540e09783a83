"""How likely zeros at random places are to obey an N:M."""

from __future__ import annotations

from collections.abc import Sequence
from math import lgamma

import numpy as np
import numpy.typing as npt

from lbc.sparsity.pattern import Pattern

Floats = npt.NDArray[np.float64]

_LOG_X = np.linspace(-12, 12, 241)


def log_chance(
    pattern: Pattern, kept: int, rows: int, columns: Sequence[int], violations: int
) -> float:
    """A bound on the natural logarithm of the probability that ``kept`` weights, placed at random,
    leave at most ``violations`` blocks with more than N.

    There are ``rows`` rows, each of which has ``columns[k]`` blocks of k places. Of all
    arrangements, those with at most N in every block are the coefficient of x^kept in a product of
    f_k(x) = Σ_{j≤N} C(k, j) x^j, at most its value over x^kept for any x > 0. A block in violation
    has (1 + x)^M instead, and C(blocks, violations) choices say which those are.
    """
    places = rows * sum(k * count for k, count in enumerate(columns))
    blocks = rows * sum(columns)
    if not 0 < kept < places:
        return 0.0
    arrangements = -kept * _LOG_X
    for k, count in enumerate(columns):
        if count:
            arrangements = arrangements + rows * count * _log_block(k, pattern.n)
    broken = pattern.m * np.logaddexp(0, _LOG_X) - _log_block(pattern.m, pattern.n)
    arrangements = arrangements + violations * broken + log_choose(blocks, violations)
    return min(0.0, float(arrangements.min()) - log_choose(places, kept))


def _log_block(places: int, n: int) -> Floats:
    """log f for blocks of ``places``, at every x."""
    terms = [log_choose(places, j) + j * _LOG_X for j in range(min(n, places) + 1)]
    result: Floats = np.logaddexp.reduce(terms, axis=0)
    return result


def log_choose(n: int, k: int) -> float:
    """The natural logarithm of C(n, k)."""
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)
