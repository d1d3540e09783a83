"""The accuracy after each epoch as a small line."""

from __future__ import annotations

from functools import lru_cache
from math import isfinite
from operator import itemgetter

from PySide6.QtCore import QPointF
from PySide6.QtGui import QPolygonF

MOST_POINTS = 64
"""Of a line; a longer one keeps the lowest and the highest of each part."""


@lru_cache(maxsize=4096)
def shape(values: tuple[float, ...]) -> tuple[tuple[float, float], ...]:
    """Points of a line, x from 0 to 1: every finite value, or the extremes of equal parts."""
    last = max(1, len(values) - 1)
    points = [(at / last, value) for at, value in enumerate(values) if isfinite(value)]
    if len(points) == 1:
        return (0.0, points[0][1]), (1.0, points[0][1])
    if len(points) <= MOST_POINTS:
        return tuple(points)
    size = -(-len(points) // (MOST_POINTS // 2))
    found: list[tuple[float, float]] = []
    for start in range(0, len(points), size):
        part = sorted(points[start : start + size], key=itemgetter(1))
        found += sorted({part[0], part[-1]})
    return tuple(found)


@lru_cache(maxsize=4096)
def sparkline(
    lines: tuple[tuple[float, ...], ...], width: float, height: float
) -> tuple[QPolygonF, ...]:
    """A polyline for each line of one row, from the lowest to the highest of their values."""
    shapes = [found for line in lines if (found := shape(line))]
    values = [value for found in shapes for _, value in found]
    if not values:
        return ()
    low, unit = min(values), height / ((max(values) - min(values)) or 1.0)
    return tuple(
        QPolygonF([QPointF(x * width, height - (y - low) * unit) for x, y in found])
        for found in shapes
    )
