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
    """What to copy from a layer besides its scores: all of its weights, or those of one block, and
    one of the pictures that its method has."""

    layer: str
    block: int | None = None
    weights: bool = False
    picture: str = ""


def sample(moment: LayerMoment) -> LayerMoment:
    """Up to ``SAMPLED_OUTPUTS`` output channels, evenly spread, as a layer of their own."""
    arrays = moment.raw, moment.packed, moment.mask, moment.winners
    raw, packed, mask, winners = (sampled(array, moment.shape) for array in arrays)
    shape = mask.shape
    moment = replace(moment, shape=shape, raw=raw, packed=packed, mask=mask, winners=winners)
    return replace(moment, weights=None, block_weights=None, picture=None)


def sampled(values: Any, shape: tuple[int, ...]) -> Any:
    """What an array or tensor, if any, has for a sample of the outputs of a layer of ``shape``.

    It is shaped like the weight, or has a row for each block or one for all of them.
    """
    if values is None:
        return None
    outputs = slice(0, None, -(-shape[0] // SAMPLED_OUTPUTS))
    if len(values) == 1 or tuple(values.shape) == shape:
        return values[outputs]
    rest = values.shape[1:]
    return values.reshape(shape[0], -1, *rest)[outputs].reshape(-1, *rest)


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
