"""The points of one curve."""

from __future__ import annotations

from array import array
from bisect import bisect_right

import numpy as np
import numpy.typing as npt


class Series:
    """Points (x, y) in the order they came, with ascending x; ``x`` and ``y`` are copies."""

    def __init__(self) -> None:
        self._x, self._y = array("d"), array("d")

    def __len__(self) -> int:
        return len(self._x)

    def append(self, x: float, y: float) -> None:
        self._x.append(x)
        self._y.append(y)

    def at(self, x: float | None) -> float | None:
        """The value as of ``x``, or the last one; None before the first point."""
        before = len(self._x) if x is None else bisect_right(self._x, x)
        return self._y[before - 1] if before else None

    @property
    def x(self) -> npt.NDArray[np.float64]:
        return np.array(self._x)

    @property
    def y(self) -> npt.NDArray[np.float64]:
        return np.array(self._y)
