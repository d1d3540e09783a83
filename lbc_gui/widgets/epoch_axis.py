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
        pixels = max(size, 1.0) / max(high - low, 1e-300)
        for factor in (1, 2, 5, 10, 20) if levels else ():
            spacing = factor * levels[0][0]
            if spacing * pixels >= self._widest(low, high, spacing) + GAP:
                return levels if factor == 1 else [(spacing, 0.0)]
        return []

    def _widest(self, low: float, high: float, spacing: float) -> float:
        """The width of the widest number, as they are drawn with this spacing."""
        ticks = range(math.ceil(low / spacing), math.floor(high / spacing) + 1)
        texts = self.tickStrings([spacing * at for at in ticks], self.scale, spacing)
        return max(map(QFontMetricsF(self.font()).horizontalAdvance, texts), default=0.0)
