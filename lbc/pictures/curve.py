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

FEW = 0.5
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


class Division:
    """How the columns of a plot divide ascending x: column k holds x[edges[k]:edges[k + 1]]."""

    def __init__(self, x: Floats, edges: Indices) -> None:
        self.x, self.edges = x, edges
        self.first, self.last = int(edges[0]), int(edges[-1])
        sizes = np.diff(edges)
        self.filled = np.flatnonzero(sizes)
        self.starts = edges[self.filled] - self.first
        empty = np.flatnonzero(sizes == 0)
        self.crossed = empty[(edges[empty] > 0) & (edges[empty] < len(x))]
        """Columns without points between two points."""
        self.dense = self.last - self.first > FEW * len(sizes)
        """Whether there are so many points that only the extremes of each column are drawn."""


class Columns:
    """The pixel columns of a plot: ``count`` of equal width from ``low`` to ``high``."""

    def __init__(self, low: float, high: float, count: int) -> None:
        self.low, self.high, self.count = low, high, count
        self._bounds = np.linspace(low, high, count + 1)
        self._divisions: dict[int, Division] = {}

    def divide(self, x: Floats) -> Division:
        known = self._divisions.get(id(x))  # runs of the same steps share x
        if known is None:
            edges = np.searchsorted(x, self._bounds)
            edges[-1] = np.searchsorted(x, self.high, side="right")
            known = self._divisions[id(x)] = Division(x, edges)
        return known

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

    def part(self, first: int, last: int) -> Curve:
        """The points from ``first`` up to ``last``, without that."""
        return Curve(self.x[first:last], self.y[first:last])

    def positive(self) -> Curve:
        """The curve for a logarithmic axis, with gaps where y is not positive."""
        if not (self.y <= 0).any():
            return self
        return Curve(self.x, np.where(self.y > 0, self.y, np.float32(np.nan)))

    def extremes(self, low: float, high: float) -> tuple[float, float] | None:
        """The least and greatest y where low ≤ x ≤ high; None where there is none."""
        first, last = np.searchsorted(self.x, low), np.searchsorted(self.x, high, side="right")
        part = self.y[first:last]
        if not len(part):
            return None
        ends = float(self._least.reduce(part)), float(self._most.reduce(part))
        return ends if ends[0] <= ends[1] else None

    def nearest(self, x: float, y: float, reach: float) -> int:
        """The index of the point within ``reach`` of x that is nearest to y, else to x."""
        first, last = np.searchsorted(self.x, [x - reach, x + reach])
        distances = np.abs(self.y[first:last] - y)
        if np.isfinite(distances).any():
            return int(first + np.nanargmin(distances))
        beside = [max(int(first) - 1, 0), min(int(first), len(self) - 1)]
        return min(beside, key=lambda at: float(abs(self.x[at] - x)))

    def reduce(self, division: Division) -> tuple[Singles, Singles]:
        """The least and greatest y in each column that holds points, NaN in a gap."""
        part = self.y[division.first : division.last]
        if not len(part):
            return part, part
        ends = (extreme.reduceat(part, division.starts) for extreme in (self._least, self._most))
        return next(ends), next(ends)

    def spans(self, columns: Columns) -> tuple[Floats | Singles, Floats | Singles]:
        """From where to where the curve extends in every column, NaN where it does not: (count,).

        Between two points the curve is straight, also over columns that hold none.
        """
        division = columns.divide(self.x)
        if len(division.filled) == columns.count:
            return self.reduce(division)
        lows, highs = np.full((2, columns.count), np.nan)
        lows[division.filled], highs[division.filled] = self.reduce(division)
        if len(crossed := division.crossed):
            after = division.edges[crossed]
            start, end = self.x[after - 1], self.x[after]
            share = (columns.centres(crossed) - start) / (end - start)
            between = (1 - share) * self.y[after - 1] + share * self.y[after]
            lows[crossed] = highs[crossed] = between
        return lows, highs

    def trace(self, columns: Columns) -> tuple[Floats, Singles]:
        """The points of a line over the columns: all, or the extremes of each; NaN is a gap.

        The points before and after the columns are included, so that the line reaches the borders.
        """
        division = columns.divide(self.x)
        first, last = division.first, division.last
        if not division.dense:
            whole = slice(max(first - 1, 0), last + 1)
            return self.x[whole], self.y[whole]
        before, after = slice(max(first - 1, 0), first), slice(last, last + 1)
        # Up in one column and down in the next: what joins two columns is short.
        ends = np.column_stack(self.reduce(division))
        ends[1::2] = ends[1::2, ::-1].copy()
        x = np.repeat(columns.centres(division.filled), 2)
        return (
            np.concatenate([self.x[before], x, self.x[after]]),
            np.concatenate([self.y[before], ends.ravel(), self.y[after]]),
        )


def envelope(lower: Curve, upper: Curve, columns: Columns) -> tuple[Floats, Singles, Singles]:
    """The outline of the band between two curves over the same x: x, lower and upper y."""
    division = columns.divide(lower.x)
    if not division.dense:
        whole = slice(max(division.first - 1, 0), division.last + 1)
        return lower.x[whole], lower.y[whole], upper.y[whole]
    lows, highs = lower.reduce(division)[0], upper.reduce(division)[1]
    return columns.centres(division.filled), lows, highs


def distance_from_origin(x: Floats, y: Floats) -> float:
    """To a line through points; gaps (NaN) are no part of it."""
    if len(x) < 2:
        return float(np.hypot(x, y)[0]) if len(x) and not np.isnan(y[0]) else np.inf
    dx, dy = np.diff(x), np.diff(y)
    square = dx**2 + dy**2
    with np.errstate(invalid="ignore", divide="ignore"):
        along = np.clip(np.where(square > 0, -(x[:-1] * dx + y[:-1] * dy) / square, 0), 0, 1)
    distances = np.hypot(x[:-1] + along * dx, y[:-1] + along * dy)
    return float(np.fmin.reduce(distances, initial=np.inf))
