"""One layer at one moment: copied in the training thread, or read back from a run's history."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lbc.heatmap import Floats
from lbc.masks import block_coordinates
from lbc.pattern import Pattern

if TYPE_CHECKING:
    from torch import Tensor

    from lbc.scores import SparseLayer
    from lbc.sparsify import Sparsifier

Bits = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Watch:
    """What is wanted of the trainer: a layer, all of its weights or only those of one block."""

    layer: str
    block: int | None = None
    weights: bool = False


@dataclass(frozen=True)
class LayerState:
    """How far one layer's search has come."""

    name: str
    live: int
    density: float


@dataclass(frozen=True)
class LayerMoment:
    """One layer after ``epoch`` epochs. All arrays are read-only copies.

    ``raw`` is what the layer stores: one score per weight, shaped like it, where ``additive``, else
    (blocks, C), of removed combinations too; None where a history kept none. ``packed`` holds the
    live bits, (blocks, ⌈C / 8⌉) or one row for all blocks. ``mask`` is shaped like the weight.
    ``weights`` is shaped like the weight where asked for, ``block_weights`` (M,) for one block.
    """

    name: str
    epoch: float
    pattern: Pattern
    shape: tuple[int, ...]
    additive: bool
    raw: Floats | None
    packed: Bits
    mask: Flags
    weights: Floats | None = None
    block: int | None = None
    block_weights: Floats | None = None
    layers: tuple[LayerState, ...] = ()

    @property
    def blocks(self) -> int:
        return int(np.prod(self.shape)) // self.pattern.m

    def live(self, rows: slice = slice(None)) -> Flags:
        """The live set: bool (rows, C)."""
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

    def scores(self, rows: slice = slice(None)) -> Floats | None:
        """Scores, −inf where removed: (rows, C); None where none are kept."""
        if self.raw is None:
            return None
        if self.additive:
            positions = self.positions(rows)
            assert positions is not None
            scores = _sums(positions, self.pattern)
        else:
            scores = self.raw[rows].copy()
        if len(self.packed) > 1:
            scores[~self.live(rows)] = -np.inf
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
            live = self.live(rows).astype(np.float32)
            holding = np.asarray(self.pattern.combinations.numpy(), dtype=np.float32)
            total = (self.raw[rows] * live) @ holding
            positions = total / np.maximum(live @ holding, 1)
        return positions


def _sums(positions: Floats, pattern: Pattern) -> Floats:
    # In ascending order of position, like the library's own, so that ties are ties here too.
    members = pattern.members.numpy()
    return reduce(np.add, (positions[:, members[:, k]] for k in range(pattern.n)))


def _to_blocks(array: npt.NDArray[Any], pattern: Pattern) -> npt.NDArray[Any]:
    return np.ascontiguousarray(np.moveaxis(array, 1, -1)).reshape(-1, pattern.m)


def _unpack(packed: Bits, count: int) -> Flags:
    return np.unpackbits(packed, axis=1, count=count, bitorder="little").view(np.bool_)


def copy_moment(
    sparsifier: Sparsifier, watch: Watch, epoch: float, layers: tuple[LayerState, ...] = ()
) -> LayerMoment | None:
    """Copy what ``watch`` wants; None where the model has no such layer."""
    layer = sparsifier.layers.get(watch.layer)
    if layer is None:
        return None
    dense = _dense(sparsifier, layer)
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
        weights=_copy(dense.float()) if watch.weights else None,
        block=block,
        block_weights=None if block is None else _copy(_of_block(dense, layer, block).float()),
        layers=layers,
    )


def _of_block(weight: Tensor, layer: SparseLayer, block: int) -> Tensor:
    places = block_coordinates(layer.shape, layer.pattern, block)
    return weight[tuple(list(axis) for axis in zip(*places, strict=True))]


def _dense(sparsifier: Sparsifier, layer: SparseLayer) -> Tensor:
    module: Any = sparsifier.model.get_submodule(layer.name)
    dense: Tensor = module.parametrizations.weight.original.detach()
    return dense


def _copy(tensor: Tensor) -> Any:
    # A copy: numpy() shares memory with the weights that the optimiser goes on changing.
    array = np.array(tensor.detach().cpu().contiguous().numpy())
    array.flags.writeable = False
    return array
