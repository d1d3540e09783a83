"""How weights that are sparser than dense, but not 2:4, run exactly on 2:4 tensor cores.

Cut a row into blocks of S = 2N positions of which at most S − 2 are kept, as in 6:8. Lay N − 1
windows of four over each block, every one two positions after the one before, and let each window
compute two of the weights that it covers. Then every kept weight is computed once:

- The two positions 2p and 2p + 1 are a pair; pair p lies in the windows p − 1 and p, where they
  exist. The pairs p to q hold at most 2 (q − p + 1) weights. If the run is not the whole block it
  lies in at least q − p + 1 windows, which have room for as many; the whole block has at most
  2 (N − 1) weights and N − 1 windows. By Hall's theorem there is an assignment, and ``windows``
  finds it from left to right: what a window has no room for, the next covers too.
- The windows have 4 (N − 1) places where the block had 2N: the weight and the activations that it
  is multiplied with become 4 (N − 1) / 2N times as wide. 2:4 cores compute at twice the dense rate,
  so the product is at most N / (N − 1) = S / (S − 2) times as fast as a dense one. For the pattern
  (S − 2):S that is all that its density promises: 4:6 1.5, 6:8 1.33, 8:10 1.25.

Source of the windows and the bound: SlideSparse, arXiv 2603.05232 (2026). Their activations are
rearranged while they are quantised; torch has no kernel for it.
"""

from __future__ import annotations

import numpy as np

from lbc.sparsity.arrays import Bools
from lbc.sparsity.combinations import row_counts
from lbc.sparsity.pattern import Pattern


def window_block(pattern: Pattern) -> int:
    """The smallest S, even and a divisor of 2M, of which every mask keeps at most S − 2 positions.

    4 for what obeys 2:4; 8 for 6:8 and 4:8, and for 3:4, of whose blocks two make one.
    """
    whole = 2 * pattern.m  # of two blocks at least two weights are cut
    sizes = (size for size in range(4, whole, 2) if whole % size == 0)
    return next((size for size in sizes if pattern.most_in(size) <= size - 2), whole)


def window_bound(pattern: Pattern) -> float:
    """S / (S − 2): how many times as fast as a dense product one on 2:4 cores can be."""
    size = window_block(pattern)
    return size / (size - 2)


def windows(kept: Bools) -> Bools:
    """Which of its four places each window computes: bool (blocks, S) → (blocks, S/2 − 1, 4).

    Place k of window i is position 2i + k. Every kept position is in exactly one window, and each
    window has at most two. Raises ValueError if S is odd or below 4, or a block keeps above S − 2.
    """
    size = kept.shape[1]
    if size % 2 or size < 4:
        raise ValueError(f"Windows of four need blocks of an even width from 4 on, not of {size}.")
    if (row_counts(kept) > size - 2).any():
        raise ValueError(f"A block keeps more than {size - 2} of {size} weights.")
    left, taken = kept.copy(), np.zeros((len(kept), size // 2 - 1, 4), np.bool_)
    for i in range(taken.shape[1]):
        covered = left[:, 2 * i : 2 * i + 4]
        taken[:, i] = covered & (covered.cumsum(axis=1) <= 2)
        covered &= ~taken[:, i]
    return taken
