"""Layers whose scores are sums over positions."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import torch
from torch import Tensor

from lbc.sparsity.pattern import Pattern
from lbc.sparsity.sparse_layer import SparseLayer


@lru_cache(maxsize=64)
def _prefixes(pattern: Pattern, device: torch.device) -> list[tuple[Tensor, Tensor]]:
    """How combinations grow from their prefixes, the first k + 1 positions of each, for every k.

    Each prefix is one of k positions, given by its number, and one position more. Combinations in
    lexicographic order with the same prefix are neighbours, so it is summed once for all.
    """
    with torch.inference_mode(False):
        members = pattern.members
        parents = torch.zeros(len(members), dtype=torch.int64)
        grown = []
        for k in range(pattern.n):
            changes = (members[1:, : k + 1] != members[:-1, : k + 1]).any(dim=1)
            first = torch.cat([changes.new_ones(1), changes])
            grown.append((parents[first].to(device), members[first, k].to(device)))
            parents = first.cumsum(0) - 1
        return grown


class AdditiveLayer(SparseLayer):
    """The score of a combination is the sum of its positions' scores, ``stored_scores``."""

    def position_scores(self) -> Tensor:
        return self.pattern.to_blocks(self.stored_scores()[0])

    def block_scores(self, rows: slice | Tensor) -> Tensor:
        return self._sums(self.position_scores()[rows])

    def _sums(self, positions: Tensor) -> Tensor:
        """The sum of every combination's positions: (rows, M) → (rows, C)."""
        # Added in ascending order of position, never by a matrix product: equal accumulators must
        # give equal scores to the last bit on every device, or ties would not be ties.
        (_, first), *rest = _prefixes(self.pattern, positions.device)
        total = positions.index_select(1, first)
        for parents, position in rest:
            total = total.index_select(1, parents)
            total += positions.index_select(1, position)
        return total

    def _all_scores(self) -> Iterator[tuple[slice, Tensor]]:
        positions = self.position_scores()  # for a convolution a copy, so once
        for rows in self._chunks():
            yield rows, self.live_sets.without_removed(self._sums(positions[rows]), rows)
