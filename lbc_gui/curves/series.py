"""Numbers that arrive one by one."""

from __future__ import annotations

from array import array

import numpy as np
import numpy.typing as npt


class Series:
    """Points (x, y) in the order they came; ``x`` and ``y`` are copies."""

    def __init__(self) -> None:
        self._x, self._y = array("d"), array("d")

    def __len__(self) -> int:
        return len(self._x)

    def append(self, x: float, y: float) -> None:
        self._x.append(x)
        self._y.append(y)

    @property
    def x(self) -> npt.NDArray[np.float64]:
        return np.array(self._x)

    @property
    def y(self) -> npt.NDArray[np.float64]:
        return np.array(self._y)
