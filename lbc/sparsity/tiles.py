"""Masks that obey N:M along inputs and outputs, chosen in tiles of M × M weights.

A tile keeps N weights in each of its rows and columns. Up to M = 4 all such tiles are compared: 90
for 2:4, so the choice is the best. Above, cells are taken from the largest to the smallest where
their row and column still have a place (Hubara et al., NeurIPS 2021: at least half of the best
sum). That may leave rows and columns short whose common cells are taken, so cells then move until
every row and column has N; and at last every two rows exchange the two columns that gain most. Of
normal weights at 4:8 the result is 1 % above greed alone.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations, product

import torch
from torch import Tensor

from lbc.sparsity.pattern import Pattern

ENUMERATED = 4
"""M up to which all tiles are compared."""

CHUNK_CELLS = 1 << 21
"""Weights whose tiles are chosen at a time."""


def transposable_mask(sizes: Tensor, pattern: Pattern) -> Tensor:
    """The transposable mask of a large sum of sizes (O, I, *kernel): bool alike.

    Sizes are at least 0. O and I are multiples of M.
    """
    tiles = to_tiles(sizes, pattern.m).float()
    choose = _best if pattern.m <= ENUMERATED else _large
    parts = torch.split(tiles, max(1, CHUNK_CELLS // pattern.m**2))
    kept = torch.cat([choose(part, pattern.n) for part in parts])
    return from_tiles(kept, tuple(sizes.shape))


def to_tiles(weight: Tensor, m: int) -> Tensor:
    """(O, I, *kernel) → (tiles, M outputs, M inputs), each at one kernel position."""
    out, width = weight.shape[:2]
    rows = weight.reshape(out // m, m, width // m, m, -1)
    return rows.permute(0, 2, 4, 1, 3).reshape(-1, m, m)


def from_tiles(tiles: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The inverse of ``to_tiles``: contiguous, of ``shape``."""
    m = tiles.shape[1]
    split = tiles.view(shape[0] // m, shape[1] // m, -1, m, m)
    return split.permute(0, 3, 1, 4, 2).reshape(shape)


@lru_cache(maxsize=16)
def all_tiles(n: int, m: int) -> Tensor:
    """Every tile with N in each row and column: bool (tiles, M, M)."""
    rows = [[j in held for j in range(m)] for held in combinations(range(m), n)]
    with torch.inference_mode(False):
        every = torch.tensor(list(product(rows, repeat=m)))
        return every[(every.sum(1) == n).all(1)]


def _best(sizes: Tensor, n: int) -> Tensor:
    tiles = all_tiles(n, sizes.shape[1]).to(sizes.device)
    sums = sizes.flatten(1) @ tiles.flatten(1).to(sizes.dtype).T
    return tiles[sums.argmax(dim=1)]


def _large(sizes: Tensor, n: int) -> Tensor:
    kept = _greedy(sizes, n)
    _complete(kept, sizes, n)
    _exchange(kept, sizes)
    return kept


def _greedy(sizes: Tensor, n: int) -> Tensor:
    """Take cells from the largest to the smallest while row and column have fewer than n."""
    m = sizes.shape[1]
    order = sizes.flatten(1).argsort(dim=1, descending=True, stable=True).T.contiguous()
    kept = torch.zeros(sizes.shape, dtype=torch.bool, device=sizes.device)
    places = torch.full((2, *sizes.shape[:2]), n, dtype=torch.int8, device=sizes.device)
    for cells in order.unbind():
        row, column = (cells // m)[:, None], (cells % m)[:, None]
        free = (places[0].gather(1, row) > 0) & (places[1].gather(1, column) > 0)
        kept.flatten(1).scatter_(1, cells[:, None], free)
        places[0].scatter_add_(1, row, -free.to(torch.int8))
        places[1].scatter_add_(1, column, -free.to(torch.int8))
    return kept


def _complete(kept: Tensor, sizes: Tensor, n: int) -> None:
    """Add cells, in place, until every row and column has n, moving others where it must be.

    A row and a column that are short meet in a free cell, which is added; or, if none of them do,
    two cells (row, c) and (r, column) are added for one cell (r, c). There always is such a cell:
    the columns that the row lacks are full, so one of their rows is not among the column's.
    """
    while len(short := (kept.sum(2) < n).any(1).nonzero()[:, 0]):
        held, values = kept[short], sizes[short]
        index = torch.arange(len(short), device=short.device)
        row = (held.sum(2) < n).byte().argmax(1)
        wanting = held.sum(1) < n
        free = wanting & ~held[index, row]
        simple = free.any(1)
        column = torch.where(simple[:, None], free, wanting).byte().argmax(1)
        to_row, to_column = values[index, row][:, None], values[index, :, column][:, :, None]
        gain = to_row + to_column - values
        allowed = held & ~held[index, row][:, None] & ~held[index, :, column][:, :, None]
        move = gain.masked_fill(~allowed, -torch.inf).flatten(1).argmax(1)
        r, c = move // held.shape[1], move % held.shape[1]
        held[index, row, torch.where(simple, column, c)] = True
        moved = index[~simple]
        held[moved, r[moved], column[moved]] = True
        held[moved, r[moved], c[moved]] = False
        kept[short] = held


def _exchange(kept: Tensor, sizes: Tensor) -> None:
    """Let every two rows, one pair after another, exchange the two columns that gain most."""
    for a, b in combinations(range(kept.shape[1]), 2):
        first, second = kept[:, a], kept[:, b]
        gain = sizes[:, b] - sizes[:, a]
        give, given = gain.masked_fill(~first | second, -torch.inf).max(1, keepdim=True)
        take, taken = gain.masked_fill(~second | first, torch.inf).min(1, keepdim=True)
        changed = torch.zeros_like(first).scatter_(1, given, give > take)
        changed.scatter_(1, taken, give > take)
        first ^= changed
        second ^= changed
