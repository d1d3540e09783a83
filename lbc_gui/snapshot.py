"""What the views show of one layer, taken in the training thread, read in the window's."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lbc.heatmap import Codes, Colour, Floats, Fold, levels, quantise, values
from lbc.pattern import Pattern

if TYPE_CHECKING:
    from lbc.scores import SparseLayer
    from lbc.sparsify import Sparsifier
    from lbc.training.control import Control

LARGEST_DRAWN_COUNT = 128
"""Above this many combinations a block draws one cell per position instead (4:16 has 1,820)."""

SHORTEST_INTERVAL = 0.1
"""Seconds between two snapshots of a training run."""

LARGEST_SHARE = 0.03
"""Share of the training thread's time that snapshots may take."""


@dataclass(frozen=True)
class ViewRequest:
    """What the window is looking at: a layer, what its colours mean, and a pinned block."""

    layer: str
    colour: Colour
    block: int | None = None


@dataclass(frozen=True)
class BlockState:
    """One block: weights (M,), mask (M,), scores (C,) with −inf where removed, pattern."""

    index: int
    pattern: Pattern
    weights: Floats
    kept: npt.NDArray[np.bool_]
    scores: Floats


@dataclass(frozen=True)
class LayerState:
    """How far one layer's search has come."""

    name: str
    live: int
    density: float


@dataclass(frozen=True)
class Snapshot:
    """The open layer at one moment; arrays are read-only copies.

    ``scores`` is (blocks, K), −inf where removed: K = C combinations or, ``by_position``, the M
    positions' own scores. ``codes`` is the folded picture.
    """

    request: ViewRequest
    epoch: float
    pattern: Pattern
    shape: tuple[int, ...]
    by_position: bool
    scores: Floats
    fold: Fold
    codes: Codes
    levels: tuple[float, float]
    block: BlockState | None
    layers: tuple[LayerState, ...]


class SnapshotDesk:
    """Holds at most one snapshot: the trainer fills it when it is empty, the window empties it.

    A new request is served before the next step; otherwise snapshots keep to ``LARGEST_SHARE`` of
    the training thread's time, and stop while nothing moves.
    """

    def __init__(self, control: Control) -> None:
        self._control = control
        self._lock = threading.Lock()
        self._request: ViewRequest | None = None
        self._ready: Snapshot | None = None
        self._served: tuple[ViewRequest, float] | None = None
        self._not_before = 0.0

    def ask(self, request: ViewRequest) -> None:
        """From the window: show this from now on."""
        with self._lock:
            if request != self._request:
                self._request = request
                self._ready = None

    def take(self) -> Snapshot | None:
        """From the window: the newest snapshot, once."""
        with self._lock:
            ready, self._ready = self._ready, None
            return ready

    def watch(self, sparsifier: Sparsifier, epoch: float) -> None:
        """From the trainer, between steps: make a snapshot where one is due."""
        with self._lock:
            request, waiting = self._request, self._ready is not None
        if request is None or waiting or self._served == (request, epoch):
            return
        moved_only = self._served is not None and self._served[0] == request
        hurry = self._control.paused or self._control.stopped
        if moved_only and not hurry and time.monotonic() < self._not_before:
            return
        began = time.monotonic()
        snapshot = take_snapshot(sparsifier, request, epoch)
        with self._lock:
            if self._request == request:
                self._ready = snapshot
                self._served = (request, epoch)
        ended = time.monotonic()
        self._not_before = ended + max(SHORTEST_INTERVAL, (ended - began) / LARGEST_SHARE)


def take_snapshot(sparsifier: Sparsifier, request: ViewRequest, epoch: float) -> Snapshot | None:
    """Copy what ``request`` shows; None where the model has no such layer."""
    layer = sparsifier.layers.get(request.layer)
    if layer is None:
        return None
    by_position = layer.pattern.count > LARGEST_DRAWN_COUNT
    scores = _position_scores(layer) if by_position else _array(layer.scores())
    shown = values(scores, request.colour)
    low, high = levels(shown, request.colour)
    fold = Fold(layer.shape[0], layer.blocks, scores.shape[1])
    codes = fold.apply(quantise(shown, low, high))
    for array in (scores, codes):
        array.flags.writeable = False
    block = request.block
    states = tuple(
        LayerState(name, at.live_count, at.density) for name, at in sparsifier.layers.items()
    )
    return Snapshot(
        request=request,
        epoch=epoch,
        pattern=layer.pattern,
        shape=layer.shape,
        by_position=by_position,
        scores=scores,
        fold=fold,
        codes=codes,
        levels=(low, high),
        block=_block(sparsifier, layer, block) if block is not None else None,
        layers=states,
    )


def _position_scores(layer: SparseLayer) -> Floats:
    scores = layer.position_scores()
    kept = layer.pattern.to_blocks(layer.mask)
    return _array(scores.masked_fill(~kept, -np.inf))


def _block(sparsifier: Sparsifier, layer: SparseLayer, block: int) -> BlockState | None:
    if not 0 <= block < layer.blocks:
        return None
    module = sparsifier.model.get_submodule(layer.name)
    dense: Any = module.parametrizations.weight.original  # type: ignore[union-attr]
    rows = slice(block, block + 1)
    return BlockState(
        index=block,
        pattern=layer.pattern,
        weights=_array(layer.pattern.to_blocks(dense.detach())[block]),
        kept=np.array(layer.pattern.to_blocks(layer.mask)[block].cpu().numpy()),
        scores=_array(layer.scores(rows)[0]),
    )


def _array(tensor: Any) -> Floats:
    # A copy: numpy() shares memory with the weights that the optimiser goes on changing.
    return np.array(tensor.detach().float().cpu().numpy())
