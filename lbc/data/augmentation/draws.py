"""The random numbers of one batch, whichever process asks for them."""

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
    """Random numbers that depend on ``seed``, three or so numbers, and on the place in the batch.

    They are always drawn for the whole batch, so that the shares of several processes, one after
    the other, are what a single process draws.
    """

    def __init__(self, seed: tuple[int, ...], share: Share) -> None:
        self.share = share
        self._random = np.random.default_rng(seed)

    def uniform(self, *shape: int) -> Tensor:
        """For each image numbers in [0, 1), float64 (b, *shape)."""
        return self._mine(self._random.random((self.share.size, *shape)))

    def normal(self, *shape: int) -> Tensor:
        """For each image numbers of mean 0 and deviation 1, float64 (b, *shape)."""
        return self._mine(self._random.standard_normal((self.share.size, *shape)))

    def seeds(self) -> list[int]:
        """For each image a seed of its own."""
        return self._mine(self._random.integers(1 << 62, size=self.share.size)).tolist()

    def beta(self, alpha: float) -> float:
        """One number of Beta(alpha, alpha) for all of the batch."""
        return float(self._random.beta(alpha, alpha))

    def once(self) -> float:
        """One number in [0, 1) for all of the batch."""
        return float(self._random.random())

    def _mine(self, drawn: np.ndarray) -> Tensor:
        return torch.from_numpy(drawn[self.share.first : self.share.last])
