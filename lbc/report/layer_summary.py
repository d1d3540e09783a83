"""Summarises one layer from the moments of its history, oldest first."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np
import numpy.typing as npt

from lbc.runs.events import LayerInfo
from lbc.runs.history_reader import RecordedLayer
from lbc.sparsity.arrays import Array, Bools, Floats, Indices
from lbc.sparsity.mask_statistics import dead_inputs, dead_outputs, flips, winner_counts
from lbc.sparsity.pattern import Pattern


@dataclass(frozen=True, eq=False)
class Scores:
    """The scores of a layer at one moment: (blocks, C), −inf where removed."""

    epoch: float
    values: Floats
    live: int


@dataclass(frozen=True, eq=False)
class LayerSummary:
    """One sparse layer. ``epochs``, ``changed`` and ``flipped``: (moments,).

    ``changed``: share of the blocks whose best combination changed since the moment before;
    ``flipped``: share of the weights at which the mask did. ``winners``: best combination of each
    block at the end, (blocks,). ``live``: combinations left in a block at the end, None if unknown.
    ``mask``: at the end, shaped like the weight. ``scores``: the last ones with several live
    combinations in a block, or the last of all.
    """

    name: str
    shape: tuple[int, ...]
    pattern: Pattern
    epochs: npt.NDArray[np.float64]
    changed: npt.NDArray[np.float64]
    flipped: npt.NDArray[np.float64]
    winners: Indices | None
    live: int | None
    scores: Scores | None
    mask: Bools | None

    @property
    def begun(self) -> bool:
        """Whether there is a moment after the start, where all combinations are equal."""
        return len(self.epochs) > 0 and self.epochs[-1] > 0

    @property
    def blocks(self) -> int:
        return prod(self.shape) // self.pattern.m

    @cached_property
    def counts(self) -> Indices | None:
        """How many blocks each combination has won, (C,)."""
        return None if self.winners is None else winner_counts(self.winners, self.pattern)

    @cached_property
    def dead(self) -> tuple[int, int] | None:
        """Outputs and input columns in which the mask keeps nothing."""
        if self.mask is None:
            return None
        return len(dead_outputs(self.mask)), len(dead_inputs(self.mask))


class SummaryBuilder:
    """Adds up one moment after the other, and keeps only what the summary needs."""

    def __init__(self, info: LayerInfo) -> None:
        name, shape, pattern = info.name, info.shape, info.pattern
        self._name, self._shape, self._pattern = name, shape, pattern
        self._rows: list[tuple[float, float, float]] = []
        self._winners: Array | None = None
        self._bits: Array | None = None
        self._mask: Bools | None = None
        self._left: int | None = None
        self._scored: tuple[RecordedLayer, int] | None = None

    def add(self, moment: RecordedLayer) -> None:
        """Add the next moment."""
        winners = moment.winners
        changed = 0.0 if self._winners is None else float((winners != self._winners).mean())
        self._winners = winners
        self._rows.append((moment.epoch, changed, self._follow_mask(moment)))
        live = moment.live(slice(0, 1))
        self._left = None if live is None else int(live.sum())
        if moment.scores_epoch == moment.epoch and self._left is not None:
            left, kept = self._left, self._scored
            if left > 1 or kept is None or kept[1] <= 1:
                self._scored = moment, left

    def summary(self) -> LayerSummary:
        """The layer up to the last moment."""
        epochs, changed, flipped = np.array(self._rows, dtype=np.float64).reshape(-1, 3).T
        winners = None if self._winners is None else self._winners.astype(np.int64)
        scores = None
        if self._scored is not None:
            moment, left = self._scored
            assert moment.scores is not None
            scores = Scores(moment.epoch, moment.scores, left)
        return LayerSummary(
            self._name, self._shape, self._pattern, epochs, changed, flipped,
            winners, self._left, scores, self._mask,
        )  # fmt: skip

    def _follow_mask(self, moment: RecordedLayer) -> float:
        """The share of weights that flip between the previous mask and that of ``moment``."""
        bits = moment.packed if moment.packed is not None else moment.kept_bits
        assert bits is not None
        if self._bits is not None and np.array_equal(bits, self._bits):
            return 0.0  # nothing was removed, as at most moments
        before = self._mask
        self._bits, self._mask = bits, self._pattern.from_blocks(moment.mask, self._shape)
        return 0.0 if before is None else flips(before, self._mask).share
