"""What to show of a layer, a moment from a run's history, and samples for thumbnails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lbc.runs.history_reader import Replay
from lbc.runs.layer_moment import LayerMoment, LayerState
from lbc.sparsity.arrays import Floats

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
    live = zip(replay.layers, replay.moments[at].live, strict=True)
    layers = tuple(LayerState(info.name, count, None) for info, count in live)
    past = replace(past, layers=layers)
    if not watch.weights and block is None:
        return past
    weights = read_weights(replay.path.parent, watch.layer, past.epoch)
    if weights is None or weights.shape != past.shape:
        return past
    of_block = None if block is None else past.pattern.to_blocks(weights)[block]
    return replace(past, weights=weights if watch.weights else None, block_weights=of_block)
