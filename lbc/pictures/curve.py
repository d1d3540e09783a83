"""A curve drawn in no more points than the screen has columns, without losing an extreme.

The extremes of each column are those of all its points. NumPy finds them in 50 µs among 100,000
points, which is less time than reading the upper levels of a pyramid of extremes would save.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]

FEW = 2
"""Points per column up to which every point is drawn."""

LARGEST = np.finfo(np.float32).max


def singles(values: npt.NDArray[Any]) -> Singles:
    """float32; finite values beyond its range become its largest, so that they stay visible."""
    with np.errstate(over="ignore"):
        y = np.asarray(values, dtype=np.float32)
    beyond = np.isinf(y)
    if beyond.any():
        beyond &= np.isfinite(values)
        y[beyond] = np.copysign(LARGEST, y[beyond])
    return y


class Columns:
    """The pixel columns of a plot: ``count`` of equal width from ``low`` to ``high``."""

    def __init__(self, low: float, high: float, count: int) -> None:
        self.low, self.high, self.count = low, high, count
        self._bounds = np.linspace(low, high, count + 1)
        self._edges: dict[int, tuple[Floats, Indices]] = {}

    def edges(self, x: Floats) -> Indices:
        """Where the columns begin in ascending ``x``, and where the last ends: (count + 1,)."""
        known = self._edges.get(id(x))  # runs of the same steps share x
        if known is None:
            edges = np.searchsorted(x, self._bounds)
            edges[-1] = np.searchsorted(x, self.high, side="right")
            known = self._edges[id(x)] = (x, edges)
        return known[1]

    def centres(self, columns: Indices) -> Floats:
        width = (self.high - self.low) / self.count
        return self.low + width * (columns.astype(np.float64) + 0.5)


class Curve:
    """Points (x, y), x finite and ascending; the curve has a gap where y is NaN or infinite.

    The arrays must not change.
    """

    def __init__(self, x: Floats, y: Singles) -> None:
        finite = np.isfinite(y)
        self.x, self.y = x, y
        self.first_gap: int | None = None
        """The index of the first value that is not finite, as when a run diverges."""
        # fmin and fmax ignore NaN, but are several times slower.
        self._least: np.ufunc = np.minimum
        self._most: np.ufunc = np.maximum
        if not finite.all():
            self.first_gap = int(finite.argmin())
            self.y = np.where(finite, y, np.float32(np.nan))
            self._least, self._most = np.fmin, np.fmax

    def __len__(self) -> int:
        return len(self.x)

    def positive(self) -> Curve:
        """The curve for a logarithmic axis, with gaps where y is not positive."""
        if not (self.y <= 0).any():
            return self
        return Curve(self.x, np.where(self.y > 0, self.y, np.float32(np.nan)))

    def extremes(self, low: float, high: float) -> tuple[float, float] | None:
        """The least and greatest y where low ≤ x ≤ high; None where there is none."""
        _, lows, highs = self.reduce(Columns(low, high, 1))
        return (float(lows[0]), float(highs[0])) if len(lows) and lows[0] <= highs[0] else None

    def reduce(self, columns: Columns) -> tuple[Indices, Singles, Singles]:
        """The columns that hold points, and the least and greatest y in each, NaN in a gap."""
        edges = columns.edges(self.x)
        filled = np.flatnonzero(np.diff(edges))
        if not len(filled):
            return filled, self.y[:0], self.y[:0]
        starts, part = edges[filled] - edges[0], self.y[edges[0] : edges[-1]]
        return filled, self._least.reduceat(part, starts), self._most.reduceat(part, starts)

    def trace(self, columns: Columns) -> tuple[Floats, Singles]:
        """The points of a line over the columns: all, or the extremes of each; NaN is a gap.

        The points before and after the columns are included, so that the line reaches the borders.
        """
        first, last = columns.edges(self.x)[[0, -1]]
        if last - first <= FEW * columns.count:
            whole = slice(max(first - 1, 0), last + 1)
            return self.x[whole], self.y[whole]
        before, after = slice(max(first - 1, 0), first), slice(last, last + 1)
        filled, lows, highs = self.reduce(columns)
        # Up in one column and down in the next: what joins two columns is short.
        ends = np.column_stack([lows, highs])
        ends[1::2] = ends[1::2, ::-1].copy()
        return (
            np.concatenate([self.x[before], np.repeat(columns.centres(filled), 2), self.x[after]]),
            np.concatenate([self.y[before], ends.ravel(), self.y[after]]),
        )


def envelope(lower: Curve, upper: Curve, columns: Columns) -> tuple[Floats, Singles, Singles]:
    """The outline of the band between two curves over the same x: x, lower and upper y."""
    first, last = columns.edges(lower.x)[[0, -1]]
    if last - first <= FEW * columns.count:
        whole = slice(max(first - 1, 0), last + 1)
        return lower.x[whole], lower.y[whole], upper.y[whole]
    filled, lows, _ = lower.reduce(columns)
    return columns.centres(filled), lows, upper.reduce(columns)[2]
