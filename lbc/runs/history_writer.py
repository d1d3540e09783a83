"""Records scores and live sets, moment by moment, in one append-only file.

Winners and live sets are recorded exactly, at every moment; scores in half precision, as often as
``SCORE_BUDGET`` allows. ``lbc.runs.history_reader`` reads them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lbc.files.append_file import AppendFile
from lbc.files.small_file import open_regular
from lbc.runs.events import LayerInfo, Prepared
from lbc.runs.history_codec import (
    CHANGED,
    KEY,
    LARGEST_LIVE_COUNT,
    POSITIONS,
    REMOVED,
    Coded,
    SearchState,
    compress,
    decided,
    encode,
    index_type,
    winner_bits,
)
from lbc.runs.history_format import (
    KEY_INTERVAL,
    Frame,
    encode_frame,
    first_part,
    header,
    read_frames,
    read_layers,
    read_states,
)
from lbc.sparsity.additive_layer import AdditiveLayer
from lbc.sparsity.arrays import Array
from lbc.sparsity.combinations import unpack
from lbc.sparsity.live_sets import pack
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.sparse_layer import SparseLayer
from lbc.sparsity.sparsifier import Sparsifier

SCORE_BUDGET = 256 << 20
"""Bytes of half-precision scores that one run may record, before compression."""

FEWEST_MOMENTS = 60
"""The fewest moments of a run after its start, if steps and ``LARGEST_CELLS`` allow."""

LARGEST_CELLS = 1 << 28
"""With more combinations in all blocks, finding winners within epochs would take too long."""


class HistoryWriter:
    """Appends the moments of a run of ``epochs`` epochs to its history file, new or existing."""

    def __init__(self, path: Path, layers: Sequence[LayerInfo], epochs: float) -> None:
        self._layers = layers
        self.epochs = epochs
        self._before: list[SearchState | None] = [None] * len(layers)
        self._chain = [0] * len(layers)
        self._count = self._kept = 0
        self.last: float | None = None
        """The epoch of the last moment written, None before the first."""
        self._decided = False
        self._file = AppendFile(path)
        self._file.begin(header(layers))

    @property
    def place(self) -> tuple[int, bool]:
        """The number of moments written, and whether the search had ended at the last one."""
        return self._count, self._decided

    def truncate(self, moments: int, decided: bool) -> None:
        """Continue an existing file from a ``place``, deleting the moments that follow.

        Raises ValueError if it holds fewer, or is no history.
        """
        path = self._file.path
        if moments and read_layers(path) != tuple(self._layers):
            raise ValueError(f"{path} is the history of other layers.")
        frames = read_frames(path)[:moments]
        if len(frames) < moments:
            raise ValueError(f"{path} holds {len(frames)} moments, and {moments} are needed.")
        layers = range(len(self._layers))
        self._before = [self._last(frames, at) if frames else None for at in layers]
        self._chain = [_chain(frames, at) for at in layers]
        self._file.truncate(frames[-1].end if frames else 0)
        self._file.begin(header(self._layers))
        self._count, self._decided = moments, decided
        self.last = frames[-1].epoch if frames else None
        self._kept = sum(bool(one.records["scores"].any()) for one in frames)

    def sync(self) -> None:
        """Force every moment to the disk."""
        self._file.sync()

    def append(self, epoch: float, sparsifier: Sparsifier) -> None:
        """Add the sparsifier's present state. Raises OSError, leaving whole frames only."""
        layers = [sparsifier.layers[info.name] for info in self._layers]
        states = [_state(*pair) for pair in zip(layers, self._before, strict=True)]
        coded = [self._encode(at, state) for at, state in enumerate(states)]
        ended = not sparsifier.searching
        removed = any(code.flags & REMOVED for code in coded)
        kept = self._keeps_scores(epoch, layers, removed, ended)
        parts = []
        for info, layer, state, before, code in zip(
            self._layers, layers, states, self._before, coded, strict=True
        ):
            flags, scores = _scores(layer, before) if kept else (0, b"")
            live = _most_live(info.pattern, state, layer)
            parts.append((Coded(code.flags | flags, code.winners, code.bits), live, scores))
        self._file.append(encode_frame(epoch, parts))
        for at, code in enumerate(coded):
            so_far = 0 if code.flags & KEY else self._chain[at]
            self._chain[at] = so_far + bool(code.flags & CHANGED)
        self._before = list(states)
        self.last = epoch
        self._count += 1
        self._kept += bool(any(scores for _, _, scores in parts))
        self._decided = ended

    def close(self) -> None:
        self._file.close()

    def _encode(self, at: int, state: SearchState) -> Coded:
        pattern = self._layers[at].pattern
        coded = encode(pattern, state, self._before[at])
        if coded.flags & CHANGED and self._chain[at] >= KEY_INTERVAL:
            alone = encode(pattern, state, None)
            return Coded(alone.flags | coded.flags & REMOVED, alone.winners, alone.bits)
        return coded

    def _keeps_scores(
        self, epoch: float, layers: Sequence[SparseLayer], removed: bool, ended: bool
    ) -> bool:
        """Whether to record scores now: at even distances, earlier if combinations are removed.

        Always at the first and last moment, and when the last block is decided.
        """
        if self._count == 0 or epoch >= self.epochs or (ended and not self._decided):
            return True
        spare = SCORE_BUDGET // max(1, sum(_score_bytes(layer) for layer in layers)) - 4
        return spare > 0 and self._kept < 1 + spare * epoch / self.epochs + removed

    def _last(self, frames: Sequence[Frame], at: int) -> SearchState:
        last = len(frames) - 1
        moments = range(first_part(frames, at, last), last + 1)
        with open_regular(self._file.path) as file:
            *_, state = read_states(file, self._layers[at], at, frames, moments, None)
        return state


def is_moment(step: int, prepared: Prepared) -> bool:
    """Whether a moment within an epoch is recorded after ``step`` steps, evenly spaced over them.

    The moment at the end of an epoch is recorded after that epoch's removal.
    """
    steps, step = prepared.steps_per_epoch, step % prepared.steps_per_epoch
    count = moments_per_epoch(prepared.layers, prepared.epochs)
    return step > 0 and step * count // steps > (step - 1) * count // steps


def moments_per_epoch(layers: Sequence[LayerInfo], epochs: int) -> int:
    """How many moments of each epoch to record, its end included, for ``FEWEST_MOMENTS`` in all.

    One if the layers have more than ``LARGEST_CELLS`` combinations, blocks times C.
    """
    cells = sum(at.blocks * at.pattern.count for at in layers)
    return -(-FEWEST_MOMENTS // epochs) if cells <= LARGEST_CELLS else 1


def _chain(frames: Sequence[Frame], at: int) -> int:
    if not frames:
        return 0
    first = first_part(frames, at, len(frames) - 1)
    return sum(bool(one.records[at]["flags"] & CHANGED) for one in frames[first:])


def _state(layer: SparseLayer, before: SearchState | None) -> SearchState:
    over = layer.live_count == 1 and not layer.searching
    if over and before is not None and decided(layer.pattern, before):
        return before  # final, and finding winners takes long
    winners = layer.winners().cpu().numpy().astype(index_type(layer.pattern))
    if over and layer.chooses_density:
        bits = winner_bits(layer.pattern, winners)
        return SearchState(winners, bits, pack(layer.pattern.to_blocks(layer.mask)).cpu().numpy())
    if layer.pattern.count <= LARGEST_LIVE_COUNT:
        return SearchState(winners, layer.packed.cpu().numpy().copy())
    mask = layer.pattern.to_blocks(layer.mask)[: 1 if layer.live_sets.complete else None]
    return SearchState(winners, pack(mask).cpu().numpy())


def _most_live(pattern: Pattern, state: SearchState, layer: SparseLayer) -> int:
    if pattern.count > LARGEST_LIVE_COUNT:
        return layer.live_count
    return int(np.bitwise_count(state.bits).sum(axis=1, dtype=np.int64).max())


def _score_bytes(layer: SparseLayer) -> int:
    """Bytes of a layer's scores at one moment."""
    if isinstance(layer, AdditiveLayer):
        return 2 * layer.blocks * layer.pattern.m
    listed = layer.pattern.count <= LARGEST_LIVE_COUNT
    return 2 * layer.blocks * layer.pattern.count if listed else 0


def _scores(layer: SparseLayer, before: SearchState | None) -> tuple[int, bytes]:
    """Flags, and scores in half precision as ``RecordedScores`` has them.

    Less the initial score, since a half has 11 bits and scores differ by little. Combinations
    removed at this moment are included, so that their ranks are known; earlier ones are −inf.
    """
    if not _score_bytes(layer):
        return 0, b""
    start = layer.pattern.initial_score
    if isinstance(layer, AdditiveLayer):
        gained = layer.position_scores() - start / layer.pattern.n
        return POSITIONS, _compressed(gained.half().cpu().numpy())
    gained = layer.block_scores(slice(None)) - start
    halves = gained.half().cpu().numpy()
    if before is not None:
        live = unpack(before.bits, layer.pattern.count)
        halves = np.where(live, halves, np.float16(-np.inf))
    return 0, _compressed(halves)


def _compressed(halves: Array) -> bytes:
    # All low bytes, then all high ones: the two compress better apart.
    octets = np.ascontiguousarray(halves.astype("<f2")).view(np.uint8)
    return compress(octets.reshape(-1, 2).T.tobytes())
