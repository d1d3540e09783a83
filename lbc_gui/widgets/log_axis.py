"""A logarithmic axis with few, round ticks."""

from __future__ import annotations

import numpy as np

from lbc_gui.theme import GridAxis


class LogAxis(GridAxis):
    """A logarithmic axis with ticks at 1, 2 and 5 of every decade, or at the decades alone."""

    def tickValues(self, low: float, high: float, size: float) -> list[tuple[float, list[float]]]:
        decades = range(int(np.floor(low)), int(np.ceil(high)) + 1)
        steps = (1, 2, 5) if high - low < 2 else (1,)
        ticks = [decade + float(np.log10(step)) for decade in decades for step in steps]
        return [(1.0, [tick for tick in ticks if low <= tick <= high])]

    def tickStrings(self, values: list[float], scale: float, spacing: float) -> list[str]:
        return [f"{10**value:g}" for value in values]


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
