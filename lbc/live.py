"""Live sets: which combinations of each block are left, kept as packed bits."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def pack(live: Tensor) -> Tensor:
    """bool (blocks, C) → uint8 (blocks, ⌈C / 8⌉), combination c in bit c mod 8 of byte c // 8."""
    padded = F.pad(live, (0, -live.shape[1] % 8)).view(torch.uint8)
    octets = padded.reshape(len(live), padded.shape[1] // 8, 8)
    packed = octets[..., 0].clone()
    for bit in range(1, 8):
        packed |= octets[..., bit] << bit
    return packed


def unpack(packed: Tensor, count: int) -> Tensor:
    """uint8 (blocks, ⌈C / 8⌉) → bool (blocks, C); the inverse of ``pack``."""
    octets = packed.new_empty((*packed.shape, 8))
    for bit in range(8):
        torch.bitwise_and(packed >> bit, 1, out=octets[..., bit])
    return octets.view(torch.bool).flatten(1)[:, :count]


def keep_best(scores: Tensor, live: int) -> Tensor:
    """The live set of the ``live`` best scores in every row: (blocks, C) → bool (blocks, C).

    Among equals the lexicographically earlier combination stays. The kth-largest value is the
    same whichever algorithm finds it, so the answer is the same on every device. Removed
    combinations are −inf and stay removed; rows with fewer than ``live`` others keep all of those.
    """
    threshold = scores.topk(live, dim=1, sorted=False).values.amin(dim=1, keepdim=True)
    better = scores > threshold
    equal = scores == threshold
    if int(equal.sum()) > len(scores):
        places = live - better.sum(dim=1, keepdim=True)
        equal &= equal.cumsum(dim=1) <= places
    return (better | equal) & (scores > -torch.inf)
