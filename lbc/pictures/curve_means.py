"""Means of curves: exponential ones over steps, and those of several seeds with a band."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lbc.pictures.curve import Curve, Floats, singles

Spread = Literal["range", "deviation"]

_BLOCK = 64
"""Points that one matrix product smooths together."""


def smooth(curve: Curve, span: float) -> Curve:
    """The mean of all points so far, with weights that fall by a factor of e in ``span`` points.

    The sum of the weights is divided out, so that the curve does not begin at zero. Points that
    are not finite have no weight, and gaps stay gaps.
    """
    decay = np.exp(-1 / span)
    finite = np.isfinite(curve.y)
    total = _accumulate(np.where(finite, curve.y, 0.0), decay)
    weight = _accumulate(finite.astype(np.float64), decay)
    with np.errstate(invalid="ignore"):
        return Curve(curve.x, singles(np.where(finite, total / weight, np.nan)))


def _accumulate(values: Floats, decay: float) -> Floats:
    """s with s[t] = decay · s[t − 1] + values[t]."""
    powers = decay ** np.arange(_BLOCK + 1)
    blocks = np.zeros((-(-len(values) // _BLOCK), _BLOCK))
    blocks.ravel()[: len(values)] = values
    lag = np.subtract.outer(np.arange(_BLOCK), np.arange(_BLOCK))
    blocks = blocks @ np.where(lag >= 0, powers[np.abs(lag)], 0.0).T
    carries, carry = np.zeros(len(blocks)), 0.0
    for at, end in enumerate(blocks[:, -1].tolist()):
        carries[at], carry = carry, carry * powers[-1] + end
    blocks += np.outer(carries, powers[1:])
    return blocks.ravel()[: len(values)]


@dataclass(frozen=True)
class Band:
    """Mean of several curves at every point, between ``low`` and ``high``."""

    mean: Curve
    low: Curve
    high: Curve


def fold(curves: Sequence[Curve], spread: Spread) -> Band:
    """Fold curves of the same settings, whose points correspond by index, into a band.

    ``range`` is from the least to the greatest of them, ``deviation`` one sample deviation on
    either side of the mean; of one curve alone it is none. Where some have ended or are not finite,
    the others go on. x moves by the mean of what it moves by in those that have not ended.
    """
    longest = max(curves, key=len)
    values = np.full((len(curves), len(longest)), np.nan)
    for row, curve in zip(values, curves, strict=True):
        row[: len(curve)] = curve.y
    known = ~np.isnan(values)
    count = known.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(known, values, 0.0).sum(axis=0) / count
        if spread == "range":
            low, high = np.fmin.reduce(values), np.fmax.reduce(values)
        else:
            squares = np.where(known, (values - mean) ** 2, 0.0).sum(axis=0)
            deviation = np.sqrt(squares / np.maximum(count - 1, 1))
            low, high = mean - deviation, mean + deviation
    x = _mean_x(curves, longest)
    return Band(*(Curve(x, singles(y)) for y in (mean, low, high)))


def _mean_x(curves: Sequence[Curve], longest: Curve) -> Floats:
    if all(np.array_equal(curve.x, longest.x[: len(curve)]) for curve in curves):
        return longest.x
    moved, count = np.zeros(len(longest)), np.zeros(len(longest))
    for curve in curves:
        moved[: len(curve)] += np.diff(curve.x, prepend=0.0)
        count[: len(curve)] += 1
    return np.cumsum(moved / count)
