"""What is known of a layer's mask at a moment. Runs in the drawing thread."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lbc.pictures.layer_moment import LayerMoment
from lbc.pictures.mask_codes import Flags, Indices, lexicographic
from lbc.pictures.score_codes import Floats, winners

LARGEST_SEARCH = 1 << 27
"""Scores that are looked through for the best combinations of a layer; beyond it takes seconds."""

_CHUNK_SCORES = 1 << 22


@dataclass(frozen=True)
class Known:
    """By blocks: mask and weights, (blocks, M), and the best combinations, (blocks,).

    ``beta`` (blocks, M) is what training has added to each position's share of the scores.
    """

    moment: LayerMoment
    kept: Flags
    weights: Floats | None
    beta: Floats | None
    best: Indices | None

    @cached_property
    def by_magnitude(self) -> Flags | None:
        """What the N largest |w| of every block would keep, (blocks, M)."""
        if self.weights is None:
            return None
        import torch  # takes seconds to load, and the window is on screen meanwhile

        from lbc.sparsity.mask_statistics import magnitude_mask

        weights = torch.tensor(self.weights)  # a copy: what is read-only cannot be shared
        chosen: Flags = magnitude_mask(weights, self.moment.pattern).numpy()
        return chosen


def known_of(moment: LayerMoment) -> Known:
    """Take from ``moment`` what can be known of it."""
    beta = moment.positions()
    if beta is not None:
        pattern = moment.pattern
        share = pattern.n if moment.additive else 1
        beta = beta - np.float32(pattern.initial_score / share)
    return Known(moment, moment.kept(), moment.weights_by_block(), beta, best(moment))


def best(moment: LayerMoment) -> Indices | None:
    """The best combination of every block, the earliest among equals: int64 (blocks,).

    None where nothing is known of the scores, or there are more than ``LARGEST_SEARCH``.
    """
    if moment.winners is not None:
        return moment.winners.astype(np.int64)
    decided = lexicographic(moment.kept(), moment.pattern)
    if decided is not None:
        return decided
    if moment.raw is None or moment.blocks * moment.count > LARGEST_SEARCH:
        return None
    rows = max(1, _CHUNK_SCORES // moment.count)
    found = []
    for first in range(0, moment.blocks, rows):
        scores = moment.scores(slice(first, first + rows))
        if scores is None:
            return None
        found.append(winners(scores))
    return np.concatenate(found)
