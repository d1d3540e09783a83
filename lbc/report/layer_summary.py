"""Summarises one layer from the moments of its history, oldest first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from lbc.runs.events import LayerInfo
from lbc.runs.history_codec import LARGEST_LIVE_COUNT, SearchState
from lbc.runs.history_reader import Replay
from lbc.sparsity.arrays import Array, Bools, Floats, Indices
from lbc.sparsity.mask_statistics import dead_inputs, dead_outputs, flips, winner_counts


@dataclass(frozen=True, eq=False)
class Scores:
    """The scores of a layer at one moment: (blocks, C), −inf where removed."""

    epoch: float
    values: Floats
    live: int


@dataclass(frozen=True, eq=False)
class LayerSummary(LayerInfo):
    """One sparse layer, last seen after ``epoch`` epochs. ``epochs``, ``changed`` and ``flipped``:
    (epochs,), at the end of every epoch.

    ``changed``: share of the blocks whose best combination is another than an epoch before;
    ``flipped``: share of the weights at which the mask is. ``winners``: best combination of each
    block at the end, (blocks,). ``live``: the most combinations left in a block at the end, None if
    unknown. ``mask``: at the end, shaped like the weight. ``scores``: the last ones with several
    live combinations in a block, or the last of all.
    """

    epoch: float
    epochs: npt.NDArray[np.float64]
    changed: npt.NDArray[np.float64]
    flipped: npt.NDArray[np.float64]
    winners: Array | None
    live: int | None
    scores: Scores | None
    mask: Bools | None

    @property
    def begun(self) -> bool:
        """Whether there is a moment after the start, where all combinations are equal."""
        return self.epoch > 0

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


def summarise_layer(replay: Replay, layer: int, moments: Iterable[int]) -> LayerSummary:
    """Summarise a layer from ``moments``, which are all of the history's, oldest first."""
    info, pattern = replay.layers[layer], replay.layers[layer].pattern
    rows: list[tuple[float, float, float]] = []
    last: SearchState | None = None
    mask: Bools | None = None
    live: int | None = None
    scored: tuple[int, int] | None = None
    ends = {at.epoch: k for k, at in enumerate(replay.moments) if at.epoch.is_integer()}.values()
    whole: tuple[Array, Bools] | None = None
    for moment in moments:
        at, now = replay.moments[moment], replay.state_after(info.name, moment, last)
        if last is None or not np.array_equal(now.bits, last.bits):
            kept = np.broadcast_to(now.kept(pattern), (info.blocks, pattern.m))
            mask = pattern.from_blocks(kept, info.shape)
        if moment in ends:
            assert mask is not None
            if whole is not None:
                changed = float((now.winners != whole[0]).mean())
                rows.append((at.epoch, changed, flips(whole[1], mask).share))
            whole = now.winners, mask
        if pattern.count <= LARGEST_LIVE_COUNT:
            live = at.live[layer]
            if at.scores and (live > 1 or scored is None or scored[1] <= 1):
                scored = moment, live
        last = now
    scores = None
    if scored is not None:
        values = replay.layer(info.name, scored[0]).scores()
        assert values is not None
        scores = Scores(replay.moments[scored[0]].epoch, values, scored[1])
    epochs, changes, mask_flips = np.array(rows, dtype=np.float64).reshape(-1, 3).T
    winners = None if last is None else last.winners
    return LayerSummary(
        info.name, info.shape, pattern, info.blocks,
        replay.moments[-1].epoch if replay.moments else 0.0, epochs, changes, mask_flips, winners,
        live, scores, mask,
    )  # fmt: skip
