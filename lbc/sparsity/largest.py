"""The largest magnitudes of every block, which methods choose anew in every step.

A block's M magnitudes are ranked by a network of comparisons of whole planes: plane j holds the
j-th weight of every block, so that a comparison is one vectorised minimum or maximum. That takes a
fifth of the time of a partition block by block, in the weight's own order of memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import repeat

import torch
from torch import Tensor

from lbc.sparsity.live_sets import is_plain, keep_best, kth_largest
from lbc.sparsity.pattern import Pattern

WIDEST_NETWORK = 16
"""The largest M ranked by a network; a partition of each block is faster beyond."""

CHUNK = 1 << 19
"""Weights ranked at a time, whose planes a cache holds."""

KEYS = {
    torch.float64: torch.int64,
    torch.float32: torch.int32,
    torch.bfloat16: torch.int16,
    torch.float16: torch.int16,
}
"""Integers of the same width: the bits of magnitudes have their order, with NaN above infinity."""


def largest(
    weight: Tensor,
    pattern: Pattern,
    following: Tensor | None = None,
    whole: Tensor | None = None,
) -> Tensor:
    """The mask of the N largest magnitudes of every block of a weight (O, I, *kernel).

    Bool, shaped and stored like the weight. Among equals the earlier position is kept. A NaN takes
    the place of a largest magnitude, but is not kept. ``following``, (O, I / M, *kernel), receives
    the (N + 1)-th largest magnitude of every block. Blocks in ``whole``, of the same shape, bool,
    are kept completely. Of a pattern of groups, a group is as large as the sum of its members, and
    ``following`` is not known.
    """
    if pattern.width > 1 or not is_plain(weight):
        sizes = pattern.to_blocks(weight.abs())
        if pattern.width > 1:
            sizes = sizes.to(torch.promote_types(sizes.dtype, torch.float32))
        best = pattern.of_units(keep_best(pattern.unit_sums(sizes), pattern.units.n))
        mask = pattern.from_blocks(best, tuple(weight.shape))
        return mask if whole is None else mask | whole.repeat_interleave(pattern.m, dim=1)
    with torch.inference_mode(False):  # the mask may be saved for a backward pass
        mask = torch.empty_like(weight, dtype=torch.bool, requires_grad=False)
    rows = max(1, CHUNK * len(weight) // max(1, weight.numel()))
    parts = torch.split(weight, rows), torch.split(mask, rows)
    values, blocks = (
        repeat(None) if of_blocks is None else torch.split(of_blocks, rows)
        for of_blocks in (following, whole)
    )
    for part, kept, after, all_kept in zip(*parts, values, blocks, strict=False):
        _choose(part, kept, after, all_kept, pattern)
    return mask


def following(weight: Tensor, pattern: Pattern) -> Tensor:
    """The (N + 1)-th largest magnitude of every block: (O, I / M, *kernel).

    For tensors without data: while torch compiles, exports or transforms.
    """
    by_block = positions(weight.abs(), pattern)
    return by_block.topk(pattern.n + 1, dim=-1).values[..., -1]


def positions(weight: Tensor, pattern: Pattern) -> Tensor:
    """A view of a weight, (O, I / M, *kernel, M): the last dimension runs through the block."""
    out, width, *kernel = weight.shape
    return weight.view(out, width // pattern.m, pattern.m, *kernel).movedim(2, -1)


def _choose(
    weight: Tensor, kept: Tensor, following: Tensor | None, whole: Tensor | None, pattern: Pattern
) -> None:
    """Write the mask of some rows to ``kept``, and the next magnitudes to ``following``."""
    places, values = positions(kept, pattern), positions(weight, pattern)
    if pattern.m > WIDEST_NETWORK or weight.dtype not in KEYS:
        blocks = values.abs().reshape(-1, pattern.m)
        places.copy_(keep_best(blocks, pattern.n).view(places.shape))
        if whole is not None:
            places |= whole[..., None]
        if following is not None:
            following.copy_(kth_largest(blocks, pattern.n + 1).view(following.shape))
        return
    planes = [plane.abs() for plane in values.unbind(-1)]
    last, after = _ranked(planes, pattern)
    tied = last == after
    if whole is not None:
        rest = ~whole  # multiplied by: filling branches at each block, and mispredicts
        last, tied = last * rest.view(torch.uint8), tied & rest
    for plane, place in zip(planes, places.unbind(-1), strict=True):
        torch.ge(plane, last, out=place)
    if following is not None:
        following.copy_(after)
    if bool(tied.any()):
        places[tied] = keep_best(values[tied].abs(), pattern.n)


def _ranked(sizes: Sequence[Tensor], pattern: Pattern) -> tuple[Tensor, Tensor]:
    """The N-th and the (N + 1)-th largest of the M values at each place of the planes."""
    kind = sizes[0].dtype
    wires = [plane.view(KEYS[kind]) for plane in sizes]
    for low, high, smaller, larger in _comparisons(pattern):
        pair = wires[low], wires[high]
        if smaller:
            wires[low] = torch.minimum(*pair)
        if larger:
            wires[high] = torch.maximum(*pair)
    first = pattern.m - pattern.n
    return wires[first].view(kind), wires[first - 1].view(kind)


@lru_cache(maxsize=64)
def _comparisons(pattern: Pattern) -> tuple[tuple[int, int, bool, bool], ...]:
    """The comparisons that sort M wires, as far as the N-th and (N + 1)-th largest need them.

    Each is (wire, later wire, whether the smaller value is needed, whether the larger is). The
    network is Batcher's odd-even merge sort (Knuth, The Art of Computer Programming 3, 5.2.2,
    algorithm M), which sorts any number of wires.
    """
    needed = {pattern.m - pattern.n, pattern.m - pattern.n - 1}
    chosen = []
    for low, high in reversed(_merge_exchange(pattern.m)):
        if low in needed or high in needed:
            chosen.append((low, high, low in needed, high in needed))
            needed |= {low, high}
    return tuple(reversed(chosen))


def _merge_exchange(count: int) -> list[tuple[int, int]]:
    pairs = []
    top = 1 << (count - 1).bit_length() - 1
    p = top
    while p > 0:
        q, r, d = top, 0, p
        while True:
            pairs += [(i, i + d) for i in range(count - d) if i & p == r]
            if q == p:
                break
            d, q, r = q - p, q // 2, p
        p //= 2
    return pairs
