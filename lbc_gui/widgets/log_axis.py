"""A logarithmic axis with few, round ticks."""

from __future__ import annotations

from math import ceil

import numpy as np

from lbc_gui.widgets.plot import GridAxis

LARGEST = 307
"""Decades above and below 1 in which a float has all its digits. Plots can show more."""

MOST_DECADES = 12
"""Ticks of a range of many decades."""


def from_log(value: float) -> float:
    """10 to the power of a place on a logarithmic axis, or the nearest that a float holds."""
    return float(10 ** np.clip(value, -LARGEST, LARGEST))


class LogAxis(GridAxis):
    """A logarithmic axis with ticks at 1, 2 and 5 of every decade, or at the decades alone."""

    def tickValues(self, low: float, high: float, size: float) -> list[tuple[float, list[float]]]:
        first, last = np.clip([np.floor(low), np.ceil(high)], -LARGEST, LARGEST).astype(int)
        every = max(1, ceil((last - first) / MOST_DECADES))
        steps = (1, 2, 5) if high - low < 2 else (1,)
        decades = range(first - first % -every, last + 1, every)
        ticks = [decade + float(np.log10(step)) for decade in decades for step in steps]
        return [(1.0, [tick for tick in ticks if low <= tick <= high])]

    def tickStrings(self, values: list[float], scale: float, spacing: float) -> list[str]:
        return [f"{from_log(value):g}" for value in values]


class ValueAxis(LogAxis):
    """A logarithmic axis or a plain one."""

    logarithmic = False

    def tickValues(self, low: float, high: float, size: float) -> list[tuple[float, list[float]]]:
        of = LogAxis if self.logarithmic else GridAxis
        ticks: list[tuple[float, list[float]]] = of.tickValues(self, low, high, size)
        return ticks

    def tickStrings(self, values: list[float], scale: float, spacing: float) -> list[str]:
        of = LogAxis if self.logarithmic else GridAxis
        texts: list[str] = of.tickStrings(self, values, scale, spacing)
        return texts
