"""One layer at one moment: copied in the training thread, or read back from a run's history."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lbc.pictures.score_codes import Floats, by_chunks, put
from lbc.runs.history_reader import LayerMoment as PastMoment
from lbc.runs.history_reader import Replay
from lbc.sparsity.compliance import block_coordinates
from lbc.sparsity.pattern import Pattern

if TYPE_CHECKING:
    from torch import Tensor

    from lbc.sparsity.sparse_layer import SparseLayer
    from lbc.sparsity.sparsifier import Sparsifier

Bits = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]


SAMPLED_OUTPUTS = 16
"""Output channels of a layer's thumbnail."""


@dataclass(frozen=True)
class Watch:
    """What is wanted of the trainer: a layer, all of its weights or only those of one block."""

    layer: str
    block: int | None = None
    weights: bool = False


@dataclass(frozen=True)
class LayerState:
    """How far one layer's search has come; the density of past moments is not counted."""

    name: str
    live: int
    density: float | None


@dataclass(frozen=True)
class LayerMoment:
    """One layer after ``epoch`` epochs. All arrays are read-only copies.

    ``raw`` is what the layer stores: one score per weight, shaped like it, where ``additive``, else
    (blocks, C), of removed combinations too; None where a history kept none. ``packed`` holds the
    live bits, (blocks, ⌈C / 8⌉) or one row for all blocks, None where a history kept only the mask.
    ``mask`` is shaped like the weight. ``winners`` (blocks,) are the best combinations, where they
    were kept. ``scores_epoch`` says when the scores are from, where that is another moment.
    ``weights`` is shaped like the weight where asked for, ``block_weights`` (M,) for one block.
    """

    name: str
    epoch: float
    pattern: Pattern
    shape: tuple[int, ...]
    additive: bool
    raw: Floats | None
    packed: Bits | None
    mask: Flags
    weights: Floats | None = None
    block: int | None = None
    block_weights: Floats | None = None
    layers: tuple[LayerState, ...] = ()
    winners: npt.NDArray[Any] | None = None
    scores_epoch: float | None = None

    @property
    def blocks(self) -> int:
        return prod(self.shape) // self.pattern.m

    def live(self, rows: slice = slice(None)) -> Flags | None:
        """The live set: bool (rows, C); None where only the mask is known."""
        if self.packed is None:
            return None
        if len(self.packed) == 1:
            size = len(range(self.blocks)[rows])
            return np.broadcast_to(_unpack(self.packed, self.count), (size, self.count))
        return _unpack(self.packed[rows], self.count)

    @property
    def count(self) -> int:
        return self.pattern.count

    def kept(self, rows: slice = slice(None)) -> Flags:
        """Which positions the mask keeps: bool (rows, M)."""
        return _to_blocks(self.mask, self.pattern)[rows]

    def weights_by_block(self) -> Floats | None:
        """(blocks, M); None where the weights are not known."""
        return None if self.weights is None else _to_blocks(self.weights, self.pattern)

    def scores(self, rows: slice = slice(None)) -> Floats | None:
        """Scores, −inf where removed: (rows, C); None where they or the live set are not kept."""
        if self.raw is None or self.packed is None:
            return None
        known = _to_blocks(self.raw, self.pattern)[rows] if self.additive else self.raw[rows]
        packed = None if len(self.packed) == 1 else self.packed[rows]

        def compute(some: slice) -> Floats:
            scores = _sums(known[some], self.pattern) if self.additive else known[some].copy("F")
            if packed is not None:
                put(scores, ~_unpack(packed[some], self.count), -np.inf)
            return scores

        scores: Floats = by_chunks(compute, len(known), self.count)
        return scores

    def positions(self, rows: slice = slice(None)) -> Floats | None:
        """What each position adds to its combinations' scores: (rows, M), of masked ones too.

        Scores kept per combination have no such sums: there it is the mean of the position's live
        combinations.
        """
        if self.raw is None:
            return None
        if self.additive:
            positions = _to_blocks(self.raw, self.pattern)[rows]
        else:
            flags = self.live(rows)
            if flags is None:
                return None
            live = flags.astype(np.float32)
            holding = np.asarray(self.pattern.combinations.numpy(), dtype=np.float32)
            total = (self.raw[rows] * live) @ holding
            positions = total / np.maximum(live @ holding, 1)
        return positions


def _sums(positions: Floats, pattern: Pattern) -> Floats:
    # In ascending order of position, like the library's own, so that ties are ties here too.
    of_position = np.ascontiguousarray(positions.T)
    members = pattern.members.numpy()
    scores: Floats = of_position.take(members[:, 0], axis=0)
    for k in range(1, pattern.n):
        scores += of_position.take(members[:, k], axis=0)
    return scores.T


def _to_blocks(array: npt.NDArray[Any], pattern: Pattern) -> npt.NDArray[Any]:
    return np.ascontiguousarray(np.moveaxis(array, 1, -1)).reshape(-1, pattern.m)


def _unpack(packed: Bits, count: int) -> Flags:
    # In Fortran's order, as scores are.
    return np.unpackbits(packed.T, axis=0, count=count, bitorder="little").view(np.bool_).T


def copy_moment(
    sparsifier: Sparsifier, watch: Watch, epoch: float, layers: tuple[LayerState, ...] = ()
) -> LayerMoment | None:
    """Copy what ``watch`` wants; None where the model has no such layer."""
    layer = sparsifier.layers.get(watch.layer)
    if layer is None:
        return None
    layer.sync_live_sets()
    block = watch.block if watch.block is not None and watch.block < layer.blocks else None
    raw, additive = layer.stored_scores()
    return LayerMoment(
        name=layer.name,
        epoch=epoch,
        pattern=layer.pattern,
        shape=layer.shape,
        additive=additive,
        raw=_copy(raw.float()),
        packed=_copy(layer.packed),
        mask=_copy(layer.mask),
        weights=_copy(_dense(sparsifier, layer).float()) if watch.weights else None,
        block=block,
        block_weights=None if block is None else copy_block(sparsifier, layer.name, block),
        layers=layers,
    )


def copy_block(sparsifier: Sparsifier, name: str, block: int) -> Floats | None:
    """Copy the weights of one block, (M,), masked ones too; None where there is none such."""
    layer = sparsifier.layers.get(name)
    if layer is None or block >= layer.blocks:
        return None
    weights: Floats = _copy(_of_block(_dense(sparsifier, layer), layer, block).float())
    return weights


def copy_sample(layer: SparseLayer, epoch: float) -> LayerMoment:
    """Copy up to ``SAMPLED_OUTPUTS`` output channels, evenly spread, as a layer of their own."""
    layer.sync_live_sets()
    raw, additive = layer.stored_scores()
    packed, outputs = layer.packed, _sampled(layer.shape)
    mask = _copy(layer.mask[outputs])
    return LayerMoment(
        name=layer.name,
        epoch=epoch,
        pattern=layer.pattern,
        shape=mask.shape,
        additive=additive,
        raw=_copy((raw[outputs] if additive else _of_outputs(raw, layer.shape)).float()),
        packed=_copy(packed if len(packed) == 1 else _of_outputs(packed, layer.shape)),
        mask=mask,
    )


def sample(moment: LayerMoment) -> LayerMoment:
    """What ``copy_sample`` takes of a layer, of one that is at hand."""
    shape, outputs = moment.shape, _sampled(moment.shape)
    raw, packed = moment.raw, moment.packed
    mask = moment.mask[outputs]
    if raw is not None:
        raw = raw[outputs] if moment.additive else _of_outputs(raw, shape)
    if packed is not None and len(packed) > 1:
        packed = _of_outputs(packed, shape)
    return replace(
        moment,
        shape=mask.shape,
        raw=raw,
        packed=packed,
        mask=mask,
        weights=None,
        block=None,
        block_weights=None,
        winners=None if moment.winners is None else _of_outputs(moment.winners, shape),
    )


def _sampled(shape: tuple[int, ...]) -> slice:
    """Which output channels are sampled."""
    return slice(0, None, -(-shape[0] // SAMPLED_OUTPUTS))


def _of_outputs(of_blocks: Any, shape: tuple[int, ...]) -> Any:
    """The blocks of the sampled output channels, of an array or tensor (blocks, …)."""
    rest = of_blocks.shape[1:]
    return of_blocks.reshape(shape[0], -1, *rest)[_sampled(shape)].reshape(-1, *rest)


def past_moment(replay: Replay, watch: Watch, at: int) -> LayerMoment:
    """What is wanted of one layer, as far as a run folder knows it. Raises as ``Replay.layer``."""
    past = replay.layer(watch.layer, at)
    shape = past.shape
    block = watch.block if watch.block is not None and watch.block < past.blocks else None
    weights = block_weights = None
    if watch.weights or block is not None:
        weights = _past_weights(replay, past, watch.layer)
    if weights is not None and block is not None:
        block_weights = _to_blocks(weights, past.pattern)[block]
    live = replay.moments[at].live
    densities = zip(replay.layers, live, strict=True)
    return LayerMoment(
        name=watch.layer,
        epoch=past.epoch,
        pattern=past.pattern,
        shape=shape,
        additive=past.by_position,
        raw=_past_scores(past),
        packed=past.packed,
        mask=_from_blocks(past.mask, shape),
        weights=weights if watch.weights else None,
        block=block,
        block_weights=block_weights,
        layers=tuple(LayerState(info.name, count, None) for info, count in densities),
        winners=past.winners,
        scores_epoch=past.scores_epoch,
    )


def _past_weights(replay: Replay, past: PastMoment, name: str) -> Floats | None:
    from lbc.runs.weights import read_weights  # with torch, which takes seconds to load

    weights = read_weights(replay.path.parent, name, past.epoch)
    return None if weights is None or weights.shape != past.shape else weights


def _past_scores(past: PastMoment) -> Floats | None:
    if past.position_scores is not None:
        return _from_blocks(past.position_scores, past.shape)
    return None if past.gained is None else past.scores_of(slice(None))


def _from_blocks(blocks: npt.NDArray[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """The inverse of ``_to_blocks``."""
    out, width, *kernel = shape
    array = np.ascontiguousarray(np.moveaxis(blocks.reshape(out, *kernel, width), -1, 1))
    array.flags.writeable = False
    return array


def _of_block(weight: Tensor, layer: SparseLayer, block: int) -> Tensor:
    places = block_coordinates(layer.shape, layer.pattern, block)
    return weight[tuple(list(axis) for axis in zip(*places, strict=True))]


def _dense(sparsifier: Sparsifier, layer: SparseLayer) -> Tensor:
    return sparsifier.canonical(layer.name, sparsifier.dense_weight(layer.name).detach())


def _copy(tensor: Tensor) -> Any:
    # A copy: numpy() shares memory with the weights that the optimiser goes on changing.
    array = np.array(tensor.detach().cpu().contiguous().numpy())
    array.flags.writeable = False
    return array
