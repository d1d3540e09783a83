"""The Pareto front: what no other run beats in one value without being worse in the other."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]


def pareto_front(x: Numbers, y: Numbers, lower: tuple[bool, bool]) -> npt.NDArray[np.bool_]:
    """Which points (x, y) are on the front: (n,).

    ``lower`` says for x and for y whether less is better. A point is on the front if none is at
    least as good in both values and better in one; equal points are on it together. Points that
    lack a value (NaN) are not, and beat none.
    """
    front = np.zeros(len(x), dtype=bool)
    known = np.flatnonzero(~np.isnan(x) & ~np.isnan(y))
    a, b = (np.where(less, of[known], -of[known]) for less, of in zip(lower, (x, y), strict=True))
    order = np.lexsort((b, a))
    a, b, known = a[order], b[order], known[order]
    new = np.append(True, a[1:] != a[:-1])[: len(a)]
    starts, group = np.flatnonzero(new), np.cumsum(new) - 1  # of points that are equal in x
    best = b[starts]
    before = np.minimum.accumulate(np.append(np.inf, best))[:-1]
    beaten = (best >= before) & (np.arange(len(best)) > 0)
    front[known] = (b == best[group]) & ~beaten[group]
    return front
