"""Input channels in the order in which N:M keeps the largest scores.

The channel permutation of RIA (see ``ria``): channels are dealt by their total scores into the M
slots of the blocks, there and back, and then, slot by slot, assigned to the blocks anew so that
what is kept is largest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lbc.sparsity.calibration.assignment import assign
from lbc.sparsity.pattern import Pattern

CHUNK_VALUES = 1 << 24
"""Scores compared at a time."""


@dataclass(frozen=True)
class ChannelOrder:
    """``order[i]`` is the channel that comes to place i; and the scores kept before and after.

    ``shares`` are those of the scores in every block of channels that are kept, before and after:
    (2, blocks).
    """

    order: Tensor
    kept_before: float
    kept: float
    shares: Tensor


def best_order(
    scores: Tensor, pattern: Pattern, report: Callable[[], object] = lambda: None
) -> ChannelOrder:
    """The order of the columns of ``scores``, (rows, channels), that keeps the most.

    Of a convolution, every kernel position of every output is a row. What is kept is never less
    than in the present order, which is returned where no better one was found. Raises ValueError
    if M does not divide the channels, and whatever ``report`` raises, which is called often.
    """
    channels = scores.shape[1]
    if channels % pattern.m:
        raise ValueError(f"{channels} channels do not divide into blocks of {pattern.m}.")
    blocks = channels // pattern.m
    before = _kept(scores, pattern)
    dealt = scores.double().sum(dim=0).argsort(descending=True, stable=True)
    slots = dealt.reshape(pattern.m, blocks)  # (slot, block)
    slots[1::2] = slots[1::2].flip(1)
    for slot in range(pattern.m):
        others = torch.cat([slots[:slot], slots[slot + 1 :]])
        gains = _gains(scores, slots[slot], others, pattern.n)
        places = torch.from_numpy(assign(gains, report)).to(slots.device)
        slots[slot] = slots[slot].clone().scatter_(0, places, slots[slot])
    order = slots.T.flatten()
    after = _kept(scores[:, order], pattern)
    if after.sum() <= before.sum():
        order, after = torch.arange(channels, device=scores.device), before
    whole = scores.sum(dim=0, dtype=torch.float64)
    shares = [
        kept / channels.reshape(-1, pattern.m).sum(dim=1).clamp_min(torch.finfo().tiny)
        for kept, channels in ((before, whole), (after, whole[order]))
    ]
    return ChannelOrder(order, float(before.sum()), float(after.sum()), torch.stack(shares))


def _kept(scores: Tensor, pattern: Pattern) -> Tensor:
    """The scores that are kept of every block of channels: float64 (blocks,)."""
    blocks = scores.reshape(len(scores), -1, pattern.m)
    return blocks.topk(pattern.n, dim=2, sorted=False).values.sum(dim=(0, 2), dtype=torch.float64)


def _gains(
    scores: Tensor, candidates: Tensor, others: Tensor, n: int
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """What is kept of a block of ``others``, (M − 1, blocks), with each candidate: float64 (c, b).

    With the largest n of the others sorted, a block keeps the first n − 1, and the larger of the
    n-th and the candidate.
    """
    rows, blocks = len(scores), others.shape[1]
    fixed = scores[:, others].topk(n, dim=1).values  # (rows, n, blocks)
    always = fixed[:, :-1].sum(dim=(0, 1), dtype=torch.float64)
    last, given = fixed[:, -1], scores[:, candidates]
    gains = torch.zeros((blocks, blocks), dtype=torch.float64, device=scores.device)
    size = max(1, CHUNK_VALUES // (blocks * blocks))
    for first in range(0, rows, size):
        part = slice(first, first + size)
        gains += torch.maximum(given[part, :, None], last[part, None, :]).sum(dim=0)
    return np.asarray((gains + always).cpu().numpy(), np.float64)
