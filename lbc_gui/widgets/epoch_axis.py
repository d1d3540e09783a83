"""An axis of epochs or steps, for narrow plots too."""

from __future__ import annotations

import math

from PySide6.QtGui import QFontMetricsF

from lbc_gui.theme import GAP
from lbc_gui.widgets.plot import GridAxis


class EpochAxis(GridAxis):
    """The axis below a plot, whose numbers never touch."""

    def __init__(self, whole: bool = False) -> None:
        super().__init__("bottom")
        self.whole = whole
        """Whether there are ticks at whole numbers alone."""

    def tickSpacing(self, low: float, high: float, size: float) -> list[tuple[float, float]]:
        levels: list[tuple[float, float]] = super().tickSpacing(low, high, size)
        if self.whole:
            levels = [level for level in levels if level[0] >= 1] or [(1.0, 0.0)]
        widest = QFontMetricsF(self.font()).horizontalAdvance(f"{high:.0f}") + GAP
        least = widest * (high - low) / max(size, 1.0)
        if not levels or levels[0][0] >= least:
            return levels
        factor = next(at for at in (2, 5, 10, 20, math.inf) if at * levels[0][0] >= least)
        return [(factor * levels[0][0], 0.0)] if factor < math.inf else []
