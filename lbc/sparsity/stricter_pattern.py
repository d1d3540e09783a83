"""A searching layer continued under a stricter N:M: what stays live, and with which scores."""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations
from typing import cast

import torch
from torch import Tensor

from lbc.sparsity.live_sets import LiveSets, member_sums, pack
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.sparse_layer import SparseLayer, incidence
from lbc.sparsity.trained_scores import PerCombination, PerWeight

CHUNK_CELLS = 1 << 20
"""Combinations of the old or the new pattern looked at together."""

RANK_TOLERANCE = 1e-9
"""Eigenvalues of the normal equations below this share of the largest are zero."""


def obstacle(old: Pattern, new: Pattern, complete: bool) -> str:
    """Why a layer under ``old`` cannot continue under ``new``, as a clause; empty if it can.

    Every mask of ``new`` must lie in a live mask of ``old``. ``complete``: nothing has been
    removed. With blocks of the same M, N may be smaller. A wider block consists of whole old
    ones, of which a mask may take all N' of its positions in a single one, so N' is at most N. A
    narrower block is a part of an old one, and the parts are chosen independently: together they
    hold N' · M / M' positions, at most N, and any of them must be allowed, so nothing may have
    been removed. Where ``old`` has groups, what a mask touches of them is counted. A live
    combination of ``old`` need not hold a whole group of a wider width, so there too nothing may
    have been removed.
    """
    most = _touched_groups(old, new)
    if not most:
        return (
            f"its groups of {new.width} are neither parts of groups of {old.width} nor made up of "
            "them"
        )
    if new.m % old.m == 0:
        fits = most <= old.units.n
        if fits and not complete and new.width > old.width:
            return (
                f"combinations of {old} have been removed, and those left may hold no group of "
                f"{new.width} weights"
            )
    elif old.m % new.m == 0:
        fits = most * (old.m // new.m) <= old.units.n
        if fits and not complete:
            return (
                f"combinations of {old} have been removed, and those left are choices over "
                f"{old.m} positions, not over {new.m}"
            )
    else:
        return f"its blocks of {new.m} are neither parts of blocks of {old.m} nor made up of them"
    return "" if fits else f"{new} allows masks that {old} does not"


def narrow(old: SparseLayer, new: SparseLayer) -> None:
    """Give ``new``, a layer of the same weight that nothing has trained, what ``old`` has learned.

    Combinations of ``new`` are live if each part of them in a block of ``old`` is held by a live
    combination there, so every mask lies in the old one. Scores per weight β stay what they are,
    except that the same number is added to all: the difference of the scores at the start, which
    no choice depends on. Of scores per combination the gains of the positions, g with
    s_c = s_0 + Σ_{j∈c} g_j, are found by least squares over the live combinations of each block,
    the smallest where several fit; they are exact under SGD. The new scores are their sums.
    """
    complete = old.live_sets.complete
    if not complete:
        bits = torch.cat([pack(live) for live in _live_parts(old, new)])
        live_sets = LiveSets(new.blocks, new.pattern.count, new.mask.device, bits=bits)
        holding = incidence(new.pattern, new.mask.device, torch.float32)
        chunks = _chunks(new.blocks, new.pattern.count)
        kept = torch.cat([live_sets.live(rows).float() @ holding > 0 for rows in chunks])
        mask = torch.empty_like(new.mask).copy_(new.pattern.from_blocks(kept, new.shape))
        new.apply_choice(live_sets, mask)
    with torch.no_grad():
        if isinstance(old, PerWeight):
            start = new.pattern.initial_score / new.pattern.n
            gained = old.beta - old.pattern.initial_score / old.pattern.n
            cast(PerWeight, new).beta.copy_(gained + start)
        elif isinstance(old, PerCombination):
            gains = new.pattern.to_blocks(old.pattern.from_blocks(_position_gains(old), old.shape))
            scores = cast(PerCombination, new).all_scores
            scores.copy_(member_sums(gains, new.pattern) + new.pattern.initial_score)


def _chunks(blocks: int, cells: int) -> list[slice]:
    size = max(1, CHUNK_CELLS // cells)
    return [slice(first, min(first + size, blocks)) for first in range(0, blocks, size)]


def _live_parts(old: SparseLayer, new: SparseLayer) -> list[Tensor]:
    """Live sets of the new layer, chunk by chunk: bool (rows, C')."""
    wide, units = new.pattern.m // old.pattern.m, old.pattern.units
    most = _touched_groups(old.pattern, new.pattern)
    touched = old.pattern.unit_sums(
        new.pattern.incidence(new.mask.device).reshape(-1, old.pattern.m)
    ).reshape(-1, wide, units.m)
    chunks = []
    for rows in _chunks(new.blocks, max(new.pattern.count, wide * old.pattern.count)):
        live = old.live(slice(rows.start * wide, rows.stop * wide))
        held = _held_subsets(live, units, most)
        held = [one.reshape(-1, wide, one.shape[1]) for one in held]
        allowed = torch.ones((len(held[0]), new.pattern.count), dtype=torch.bool)
        for part in range(wide):
            sizes = touched[:, part].sum(dim=1)
            for size in range(1, most + 1):
                of_size = (sizes == size).nonzero().squeeze(1)
                if len(of_size):
                    index = _index(touched[of_size, part], size, units.m)
                    allowed[:, of_size] &= held[size - 1][:, part][:, index]
        chunks.append(allowed)
    return chunks


def _touched_groups(old: Pattern, new: Pattern) -> int:
    """Of how many groups of ``old`` a combination of ``new`` holds positions, at most.

    0 if neither width divides the other.
    """
    if new.width % old.width == 0:
        return new.n // old.width
    return new.units.n if old.width % new.width == 0 else 0


def _held_subsets(live: Tensor, pattern: Pattern, most: int) -> list[Tensor]:
    """For each size from 1 to ``most``: which sets of positions a live combination holds.

    Bool (rows, C(M, size)), sets in lexicographic order.
    """
    held = {pattern.n: live}
    for size in range(pattern.n - 1, 0, -1):
        held[size] = held[size + 1][:, _supersets(size, pattern.m)].any(dim=2)
    return [held[size] for size in range(1, most + 1)]


@lru_cache(maxsize=64)
def _supersets(size: int, m: int) -> Tensor:
    """The indices of the sets with one position more: int64 (C(m, size), m − size)."""
    index = {held: at for at, held in enumerate(combinations(range(m), size + 1))}
    return torch.tensor([
        [index[tuple(sorted((*held, more)))] for more in range(m) if more not in held]
        for held in combinations(range(m), size)
    ])  # fmt: skip


def _index(held: Tensor, size: int, m: int) -> Tensor:
    """Which set of ``size`` positions each row is: bool (rows, m) → int64 (rows,)."""
    if size == m:
        return torch.zeros(len(held), dtype=torch.int64)
    return Pattern(size, m).index_of(held)


def _position_gains(layer: PerCombination) -> Tensor:
    """What each position has gained, by least squares over live combinations: (blocks, M)."""
    pattern = layer.pattern
    holding = pattern.incidence().double()
    pairs = (holding[:, :, None] * holding[:, None, :]).flatten(1)
    gains = []
    for rows in _chunks(layer.blocks, pattern.count):
        live = layer.live(rows).double()
        gained = (layer.block_scores(rows).double() - pattern.initial_score) * live
        normal = (live @ pairs).reshape(-1, pattern.m, pattern.m)
        inverse = torch.linalg.pinv(normal, rtol=RANK_TOLERANCE, hermitian=True)
        gains.append((inverse @ (gained @ holding)[..., None]).squeeze(-1))
    return torch.cat(gains).to(layer.all_scores.dtype)
