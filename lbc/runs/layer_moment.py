"""One layer at one moment, from the trainer or from a run's history."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from lbc.sparsity.arrays import Array, Bools, Bytes, Floats
from lbc.sparsity.combinations import live_scores, unpack
from lbc.sparsity.pattern import Pattern


@dataclass(frozen=True)
class LayerState:
    """How far the search has come in one layer; ``density`` is None for past moments."""

    name: str
    live: int
    density: float | None


@dataclass(frozen=True)
class PictureFacts:
    """What a picture of a method is: its label, the range of its values, and a sentence."""

    label: str
    low: float = 0.0
    high: float = 1.0
    caption: str = ""


@dataclass(frozen=True)
class LayerMoment:
    """One layer after ``epoch`` epochs. All arrays are read-only copies.

    ``raw`` is what the layer stores: one score per weight, shaped like it, where ``additive``, else
    (blocks, C), of removed combinations too; None if the history has none. ``packed`` holds the
    live bits, (blocks, ⌈C / 8⌉) or one row for all blocks; None if the history has only the mask.
    ``mask`` is shaped like the weight. ``winners`` (blocks,) are the best combinations, if the
    history has them. ``scores_epoch`` is the moment of the scores, if it is another one.
    ``weights`` is shaped like the weight if requested, ``block_weights`` (M,) for one block.
    ``pictures`` are the labels of what else the method shows of the layer now, and ``picture`` the
    one that was requested, shaped like the weight, which ``picture_facts`` are of.
    """

    name: str
    epoch: float
    pattern: Pattern
    shape: tuple[int, ...]
    additive: bool
    raw: Floats | None
    packed: Bytes | None
    mask: Bools
    weights: Floats | None = None
    block_weights: Floats | None = None
    layers: tuple[LayerState, ...] = ()
    winners: Array | None = None
    scores_epoch: float | None = None
    picture: Floats | None = None
    picture_facts: PictureFacts | None = None
    pictures: tuple[str, ...] = ()

    @property
    def blocks(self) -> int:
        return prod(self.shape) // self.pattern.m

    def live(self, rows: slice = slice(None)) -> Bools | None:
        """The live set: bool (rows, C); None if only the mask is known."""
        if self.packed is None:
            return None
        if len(self.packed) > 1:
            return unpack(self.packed[rows], self.pattern.count)
        live = unpack(self.packed, self.pattern.count)
        return np.broadcast_to(live, (len(range(self.blocks)[rows]), self.pattern.count))

    def kept(self, rows: slice = slice(None)) -> Bools:
        """Which positions the mask keeps: bool (rows, M)."""
        return self.pattern.to_blocks(self.mask)[rows]

    def scores(self, rows: slice = slice(None)) -> Floats | None:
        """Scores, −inf where removed: (rows, C); None if they or the live set are unknown."""
        if self.raw is None or self.packed is None:
            return None
        known = self.pattern.to_blocks(self.raw) if self.additive else self.raw
        packed = self.packed if len(self.packed) == 1 else self.packed[rows]
        return live_scores(known[rows], packed, self.pattern, self.additive)

    def positions(self, rows: slice = slice(None)) -> Floats | None:
        """What each position adds to its combinations' scores: (rows, M), masked positions too.

        Scores per combination are no such sums: the mean over the position's live combinations
        stands in for it.
        """
        if self.raw is None:
            return None
        if self.additive:
            return self.pattern.to_blocks(self.raw)[rows]
        flags = self.live(rows)
        if flags is None:
            return None
        live, incidence = flags.astype(np.float32), self.pattern.incidence_array.astype(np.float32)
        total = (self.raw[rows] * live) @ incidence
        return np.asarray(total / np.maximum(live @ incidence, 1))
