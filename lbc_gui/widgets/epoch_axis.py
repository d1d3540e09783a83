"""An axis of epochs for narrow plots."""

from __future__ import annotations

import math

import pyqtgraph as pg
from PySide6.QtGui import QFontMetricsF

from lbc_gui.theme import GAP


class EpochAxis(pg.AxisItem):  # type: ignore[misc]
    """The axis below a plot, whose numbers never touch."""

    def __init__(self) -> None:
        super().__init__("bottom")

    def tickSpacing(self, low: float, high: float, size: float) -> list[tuple[float, float]]:
        levels: list[tuple[float, float]] = super().tickSpacing(low, high, size)
        widest = QFontMetricsF(self.font()).horizontalAdvance(f"{high:.0f}") + GAP
        least = widest * (high - low) / max(size, 1.0)
        if not levels or levels[0][0] >= least:
            return levels
        factor = next(at for at in (2, 5, 10, 20, math.inf) if at * levels[0][0] >= least)
        return [(factor * levels[0][0], 0.0)] if factor < math.inf else []
