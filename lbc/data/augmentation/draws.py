"""The random numbers of one batch, the same in every process."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Share:
    """Images ``first`` … ``last`` - 1 of a batch of ``size``."""

    first: int
    last: int
    size: int


class Draws:
    """Random numbers that depend only on ``seed`` and on the position in the batch.

    They are always drawn for the whole batch, so that the concatenated shares of several processes
    equal the draws of a single process.
    """

    def __init__(self, seed: tuple[int, ...], share: Share) -> None:
        self.share = share
        self._random = np.random.default_rng(seed)

    def uniform(self, *shape: int) -> Tensor:
        """Uniform numbers in [0, 1) per image, float64 (b, *shape)."""
        return self._own(self._random.random((self.share.size, *shape)))

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers per image, float64 (b, *shape)."""
        return self._own(self._random.standard_normal((self.share.size, *shape)))

    def seeds(self) -> list[int]:
        """One seed per image."""
        return self._own(self._random.integers(1 << 62, size=self.share.size)).tolist()

    def beta(self, alpha: float) -> float:
        """One number from Beta(alpha, alpha) for the whole batch."""
        return float(self._random.beta(alpha, alpha))

    def once(self) -> float:
        """One uniform number in [0, 1) for the whole batch."""
        return float(self._random.random())

    def _own(self, drawn: np.ndarray) -> Tensor:
        return torch.from_numpy(drawn[self.share.first : self.share.last])
