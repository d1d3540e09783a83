"""Summarises one layer from the moments of its history, oldest first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np
import numpy.typing as npt

from lbc.runs.events import LayerInfo
from lbc.runs.history_reader import RecordedLayer
from lbc.sparsity.arrays import Bools, Floats, Indices
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


def summarise_layer(info: LayerInfo, moments: Iterable[RecordedLayer]) -> LayerSummary:
    """Summarise a layer from its moments, oldest first, of which only a few are kept in memory."""
    rows: list[tuple[float, float, float]] = []
    last: RecordedLayer | None = None
    mask: Bools | None = None
    live: int | None = None
    scored: tuple[RecordedLayer, int] | None = None
    for moment in moments:
        changed = 0.0 if last is None else float((moment.winners != last.winners).mean())
        flipped = 0.0
        if last is None or not np.array_equal(moment.bits, last.bits):
            before, mask = mask, info.pattern.from_blocks(moment.mask, info.shape)
            flipped = 0.0 if before is None else flips(before, mask).share
        rows.append((moment.epoch, changed, flipped))
        flags = moment.live(slice(0, 1))
        live = None if flags is None else int(flags.sum())
        if moment.scores_epoch == moment.epoch and live is not None:
            scored = (moment, live) if live > 1 or scored is None or scored[1] <= 1 else scored
        last = moment
    epochs, changes, mask_flips = np.array(rows, dtype=np.float64).reshape(-1, 3).T
    winners = None if last is None else last.winners.astype(np.int64)
    scores = None
    if scored is not None:
        assert scored[0].scores is not None
        scores = Scores(scored[0].epoch, scored[0].scores, scored[1])
    return LayerSummary(
        info.name, info.shape, info.pattern, epochs, changes, mask_flips,
        winners, live, scores, mask,
    )  # fmt: skip
