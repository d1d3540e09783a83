"""One layer at one moment, from the trainer or from a run's history."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from lbc.runs.history_reader import RecordedLayer, Replay
from lbc.sparsity.arrays import Array, Bools, Bytes, Floats
from lbc.sparsity.combinations import live_scores, unpack
from lbc.sparsity.pattern import Pattern

SAMPLED_OUTPUTS = 16
"""Output channels of a layer's thumbnail."""

ReadWeights = Callable[[Path, str, float], Floats | None]
"""Reads a layer's weights after some epochs from a run folder, as ``lbc.runs.weights.read_weights``
does, which needs torch."""


@dataclass(frozen=True)
class Watch:
    """What to copy from a layer besides its scores: all of its weights, or those of one block."""

    layer: str
    block: int | None = None
    weights: bool = False


@dataclass(frozen=True)
class LayerState:
    """How far the search has come in one layer; ``density`` is None for past moments."""

    name: str
    live: int
    density: float | None


@dataclass(frozen=True)
class LayerMoment:
    """One layer after ``epoch`` epochs. All arrays are read-only copies.

    ``raw`` is what the layer stores: one score per weight, shaped like it, where ``additive``, else
    (blocks, C), of removed combinations too; None if the history has none. ``packed`` holds the
    live bits, (blocks, ⌈C / 8⌉) or one row for all blocks; None if the history has only the mask.
    ``mask`` is shaped like the weight. ``winners`` (blocks,) are the best combinations, if the
    history has them. ``scores_epoch`` is the moment of the scores, if it is another one.
    ``weights`` is shaped like the weight if requested, ``block_weights`` (M,) for one block.
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
    block: int | None = None
    block_weights: Floats | None = None
    layers: tuple[LayerState, ...] = ()
    winners: Array | None = None
    scores_epoch: float | None = None

    @property
    def blocks(self) -> int:
        return prod(self.shape) // self.pattern.m

    def live(self, rows: slice = slice(None)) -> Bools | None:
        """The live set: bool (rows, C); None if only the mask is known."""
        if self.packed is None:
            return None
        if len(self.packed) == 1:
            size = len(range(self.blocks)[rows])
            return np.broadcast_to(unpack(self.packed, self.count), (size, self.count))
        return unpack(self.packed[rows], self.count)

    @property
    def count(self) -> int:
        return self.pattern.count

    def kept(self, rows: slice = slice(None)) -> Bools:
        """Which positions the mask keeps: bool (rows, M)."""
        return self.pattern.to_blocks(self.mask)[rows]

    def weights_by_block(self) -> Floats | None:
        """(blocks, M); None if the weights are unknown."""
        return None if self.weights is None else self.pattern.to_blocks(self.weights)

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


def sample(moment: LayerMoment) -> LayerMoment:
    """Up to ``SAMPLED_OUTPUTS`` output channels, evenly spread, as a layer of their own."""
    shape, outputs = moment.shape, sampled_outputs(moment.shape)
    raw, packed = moment.raw, moment.packed
    mask = moment.mask[outputs]
    if raw is not None:
        raw = raw[outputs] if moment.additive else of_sampled_outputs(raw, shape)
    if packed is not None and len(packed) > 1:
        packed = of_sampled_outputs(packed, shape)
    return replace(
        moment,
        shape=mask.shape,
        raw=raw,
        packed=packed,
        mask=mask,
        weights=None,
        block=None,
        block_weights=None,
        winners=None if moment.winners is None else of_sampled_outputs(moment.winners, shape),
    )


def sampled_outputs(shape: tuple[int, ...]) -> slice:
    """The output channels in a sample of a layer."""
    return slice(0, None, -(-shape[0] // SAMPLED_OUTPUTS))


def of_sampled_outputs(of_blocks: Any, shape: tuple[int, ...]) -> Any:
    """The blocks of the sampled output channels, of an array or tensor (blocks, …)."""
    rest = of_blocks.shape[1:]
    return of_blocks.reshape(shape[0], -1, *rest)[sampled_outputs(shape)].reshape(-1, *rest)


def past_moment(replay: Replay, watch: Watch, at: int, read_weights: ReadWeights) -> LayerMoment:
    """One layer at moment ``at`` of a run's history. Raises as ``Replay.layer``."""
    past = replay.layer(watch.layer, at)
    block = watch.block if watch.block is not None and watch.block < past.blocks else None
    weights = None
    if watch.weights or block is not None:
        weights = read_weights(replay.path.parent, watch.layer, past.epoch)
    if weights is None or weights.shape != past.shape:
        weights = block_weights = None
    else:
        block_weights = None if block is None else past.pattern.to_blocks(weights)[block]
    raw = past.raw
    if raw is not None and past.by_position:
        raw = _of_weight_shape(raw, past)
    live = zip(replay.layers, replay.moments[at].live, strict=True)
    return LayerMoment(
        name=watch.layer,
        epoch=past.epoch,
        pattern=past.pattern,
        shape=past.shape,
        additive=past.by_position,
        raw=raw,
        packed=past.packed,
        mask=_of_weight_shape(past.mask, past),
        weights=weights if watch.weights else None,
        block=block,
        block_weights=block_weights,
        layers=tuple(LayerState(info.name, count, None) for info, count in live),
        winners=past.winners,
        scores_epoch=past.scores_epoch,
    )


def _of_weight_shape(blocks: Array, past: RecordedLayer) -> Array:
    array = past.pattern.from_blocks(blocks, past.shape)
    array.flags.writeable = False
    return array
