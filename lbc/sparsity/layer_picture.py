"""What a method shows of a layer beside its scores and its mask."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class LayerPicture:
    """``values`` from ``low`` to ``high``, shaped like the weight (O, I, *kernel), or with
    dimensions of 1 along which they are equal; bools are 0 and 1. ``caption`` is a sentence on what
    they are."""

    values: Tensor
    low: float = 0.0
    high: float = 1.0
    caption: str = ""
