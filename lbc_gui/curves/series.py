"""Numbers that arrive one by one, kept as a growing array."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


class Series:
    """Points (x, y) in the order they came; appending is amortised constant time."""

    def __init__(self) -> None:
        self._data = np.empty((256, 2), dtype=np.float64)
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def append(self, x: float, y: float) -> None:
        if self._size == len(self._data):
            self._data = np.concatenate([self._data, np.empty_like(self._data)])
        self._data[self._size] = x, y
        self._size += 1

    def clear(self) -> None:
        self._size = 0

    @property
    def x(self) -> npt.NDArray[np.float64]:
        return self._data[: self._size, 0]

    @property
    def y(self) -> npt.NDArray[np.float64]:
        return self._data[: self._size, 1]
