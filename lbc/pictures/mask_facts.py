"""What is known of a layer's mask at one moment."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from lbc.runs.layer_moment import LayerMoment
from lbc.sparsity.arrays import Bools, Floats, Indices
from lbc.sparsity.combinations import index_of, row_counts, winners
from lbc.sparsity.mask_statistics import magnitude_mask
from lbc.sparsity.pattern import Pattern

LARGEST_SEARCH = 1 << 27
"""The most scores to search for a layer's best combinations; more would take seconds."""

_CHUNK_SCORES = 1 << 22


@dataclass(frozen=True)
class MaskFacts:
    """By blocks: mask, weights and the method's picture, (blocks, M), and the best combinations,
    (blocks,).

    ``beta`` (blocks, M) is what training has added to each position's share of the scores. None
    where unknown.
    """

    moment: LayerMoment
    kept: Bools
    weights: Floats | None
    beta: Floats | None
    best: Indices | None
    picture: Floats | None = None

    @cached_property
    def obeyed(self) -> Pattern:
        """The N:M, or that of fewer than N if no block keeps more, as a method may decide; N:M too
        of a layer that a method keeps dense."""
        pattern, most = self.moment.pattern, int(row_counts(self.kept).max(initial=0))
        return replace(pattern, n=most) if 0 < most < pattern.n else pattern

    @cached_property
    def by_magnitude(self) -> Bools | None:
        """What the largest |w| of every block would keep, as many as the mask, (blocks, M)."""
        return None if self.weights is None else magnitude_mask(self.weights, self.obeyed)


def mask_facts(moment: LayerMoment) -> MaskFacts:
    """Gather what ``moment`` says of the mask."""
    beta = moment.positions()
    if beta is not None:
        pattern = moment.pattern
        share = pattern.n if moment.additive else 1
        beta = beta - np.float32(pattern.initial_score / share)
    kept = moment.kept()
    weights = None if moment.weights is None else moment.pattern.to_blocks(moment.weights)
    picture = None if moment.picture is None else moment.pattern.to_blocks(moment.picture)
    return MaskFacts(moment, kept, weights, beta, _best(moment, kept), picture)


def _best(moment: LayerMoment, kept: Bools) -> Indices | None:
    """The best combination of every block, the earliest among equals: int64 (blocks,).

    None if the scores are unknown, or more than ``LARGEST_SEARCH``.
    """
    if moment.winners is not None:
        return np.asarray(moment.winners, np.int64)
    decided = index_of(kept, moment.pattern)
    if decided is not None:
        return decided
    if moment.raw is None or moment.blocks * moment.pattern.count > LARGEST_SEARCH:
        return None
    rows = max(1, _CHUNK_SCORES // moment.pattern.count)
    found = []
    for first in range(0, moment.blocks, rows):
        scores = moment.scores(slice(first, first + rows))
        if scores is None:
            return None
        found.append(winners(scores))
    return np.concatenate(found)
