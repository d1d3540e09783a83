"""Live sets: which combinations of each block are left, kept as packed bits."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def pack(live: Tensor) -> Tensor:
    """bool (blocks, C) → uint8 (blocks, ⌈C / 8⌉), combination c in bit c mod 8 of byte c // 8."""
    if live.is_cpu:
        return torch.from_numpy(np.packbits(live.numpy(), axis=1, bitorder="little"))
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


def only_live(scores: Tensor, packed: Tensor) -> Tensor:
    """Scores (blocks, C) with −inf where ``packed``, uint8 (blocks, ⌈C / 8⌉), has no bit."""
    # A byte looks up the bounds of its eight scores: a quarter of what unpacking and filling take.
    bounds = F.embedding(packed.int(), _bounds(scores.device, scores.dtype)).flatten(1)
    return torch.minimum(scores, bounds[:, : scores.shape[1]])


@lru_cache(maxsize=16)
def _bounds(device: torch.device, dtype: torch.dtype) -> Tensor:
    """The largest score each bit of a byte allows: +inf where set, −inf where not, (256, 8)."""
    octets = torch.arange(256, dtype=torch.uint8).unsqueeze(1)
    bounds = torch.full((256, 8), -torch.inf, dtype=dtype)
    return bounds.masked_fill_(unpack(octets, 8), torch.inf).to(device)


def keep_best(scores: Tensor, live: int) -> Tensor:
    """The live set of the ``live`` best scores in every row: (blocks, C) → bool (blocks, C).

    Among equals the lexicographically earlier combination stays. The kth-largest value is the
    same whichever algorithm finds it, so the answer is the same on every device. Removed
    combinations are −inf and stay removed; rows with fewer than ``live`` others keep all of those.
    """
    threshold = _kth_largest(scores, live)
    kept = scores >= threshold
    # As bytes: torch adds bytes up several times faster than bools.
    crowded = (kept.view(torch.uint8).sum(dim=1, dtype=torch.int32) > live).nonzero().squeeze(1)
    if len(crowded):
        rows, least = scores[crowded], threshold[crowded]
        better, equal = rows > least, rows == least
        places = live - better.sum(dim=1, keepdim=True)
        equal &= equal.cumsum(dim=1, dtype=torch.int32) <= places
        kept[crowded] = better | equal
    if bool((threshold == -torch.inf).any()):
        kept &= scores > -torch.inf
    return kept


def _kth_largest(scores: Tensor, k: int) -> Tensor:
    """The kth-largest value of every row: (blocks, C) → (blocks, 1)."""
    fits = scores.dtype in (torch.float32, torch.float64)
    if scores.is_cpu and fits and not torch.compiler.is_compiling():
        # NumPy partitions with vector instructions: 2 to 7 times as fast as torch's topk.
        place = scores.shape[1] - k
        parted = np.partition(scores.detach().numpy(), place, axis=1)
        return torch.from_numpy(parted[:, place, np.newaxis].copy())
    return scores.topk(k, dim=1, sorted=False).values.amin(dim=1, keepdim=True)
