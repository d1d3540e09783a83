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
    raw, packed, mask = sampled(moment.raw, moment.packed, moment.mask, moment.additive)
    return replace(
        moment,
        shape=mask.shape,
        raw=raw,
        packed=packed,
        mask=mask,
        weights=None,
        block=None,
        block_weights=None,
        winners=None if moment.winners is None else _of_sample(moment.winners, moment.shape),
    )


def sampled(raw: Any, packed: Any, mask: Any, additive: bool) -> tuple[Any, Any, Any]:
    """Scores, live bits and mask of the output channels in a sample, of arrays or tensors."""
    if raw is not None:
        raw = raw[_sampled_outputs(mask.shape)] if additive else _of_sample(raw, mask.shape)
    if packed is not None and len(packed) > 1:
        packed = _of_sample(packed, mask.shape)
    return raw, packed, mask[_sampled_outputs(mask.shape)]


def _sampled_outputs(shape: tuple[int, ...]) -> slice:
    return slice(0, None, -(-shape[0] // SAMPLED_OUTPUTS))


def _of_sample(of_blocks: Any, shape: tuple[int, ...]) -> Any:
    """Rows (blocks, …) of the blocks in a sample of a layer of ``shape``."""
    rest = of_blocks.shape[1:]
    return of_blocks.reshape(shape[0], -1, *rest)[_sampled_outputs(shape)].reshape(-1, *rest)


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
