"""The weights of pinned blocks during training, which a history does not keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lbc.sparsity.arrays import Floats


@dataclass(frozen=True)
class Pin:
    """One block of one layer."""

    layer: str
    block: int

    @property
    def text(self) -> str:
        return f"{self.layer or 'model'} · block {self.block}"


@dataclass(frozen=True)
class PinnedWeights:
    """The weights of the pinned blocks after ``epoch`` epochs, (M,) each."""

    epoch: float
    weights: Mapping[Pin, Floats]
