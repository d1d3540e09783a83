"""Layers whose scores are sums over positions."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from lbc.sparsity.live_sets import member_sums
from lbc.sparsity.sparse_layer import SparseLayer


class AdditiveLayer(SparseLayer):
    """The score of a combination is the sum of its positions' scores, ``stored_scores``."""

    def position_scores(self) -> Tensor:
        return self.pattern.to_blocks(self.stored_scores()[0])

    def block_scores(self, rows: slice | Tensor) -> Tensor:
        return member_sums(self.position_scores()[rows], self.pattern)

    def _all_scores(self) -> Iterator[tuple[slice, Tensor]]:
        positions = self.position_scores()  # for a convolution a copy, so once
        for rows in self._chunks():
            sums = member_sums(positions[rows], self.pattern)
            yield rows, self.live_sets.without_removed(sums, rows)
