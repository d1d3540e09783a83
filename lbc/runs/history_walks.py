"""Walks through the history of a layer, one moment at a time, that continue when it grows.

Each step is short, so that the drawing thread can draw in between.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lbc.runs.block_history import Biography, biography
from lbc.runs.events import Intervention
from lbc.runs.history_codec import SearchState, index_type, row_bytes
from lbc.runs.history_format import RecordedScores
from lbc.runs.history_reader import Replay
from lbc.runs.interventions import read_interventions
from lbc.sparsity.arrays import Array, Bools, Floats
from lbc.sparsity.combinations import unpack

STEP_CELLS = 1 << 18
"""Combinations compared in one step."""


class Walk:
    """Visits the moments of one layer in order; restarts if the run withdrew moments."""

    def __init__(self, replay: Replay, name: str) -> None:
        self.replay = replay
        self.info = next(info for info in replay.layers if info.name == name)
        self.moments = 0
        self._state: SearchState | None = None
        self._visiting: tuple[SearchState, Iterator[None]] | None = None
        self._restarts = replay.restarts
        self.reset()

    @property
    def behind(self) -> bool:
        """Whether there are moments that it has not visited."""
        return self._restarts != self.replay.restarts or self.moments < len(self.replay.moments)

    def advance(self) -> bool:
        """Visit the next moment, or a part of it; False if there is none.

        Raises as ``Replay.layer``.
        """
        if self._restarts != self.replay.restarts:
            self.moments, self._state, self._restarts = 0, None, self.replay.restarts
            self._visiting = None
            self.reset()
        if self.moments >= len(self.replay.moments):
            return False
        if self._visiting is None:
            now = self.replay.state_after(self.info.name, self.moments, self._state)
            self._visiting = now, self.visit(self.moments, now, self._state)
        (now, parts), self._visiting = self._visiting, None  # None if the next line raises
        if next(parts, self) is self:
            self._state = now
            self.moments += 1
        else:
            self._visiting = now, parts
        return True

    def reset(self) -> None:
        """Forget all moments."""

    def visit(self, moment: int, now: SearchState, before: SearchState | None, /) -> Iterator[None]:
        """Visit one moment, part by part."""
        raise NotImplementedError


class BlockWalk(Walk):
    """Collects the biographies of some blocks."""

    def __init__(self, replay: Replay, name: str, blocks: Sequence[int]) -> None:
        super().__init__(replay, name)
        self.blocks = [range(self.info.blocks)[block] for block in blocks]

    def reset(self) -> None:
        self._winners: list[Array] = []
        self._bits: list[Array] = []
        self._kept: list[Bools] = []
        self._scores: dict[int, RecordedScores] = {}

    def visit(
        self, moment: int, now: SearchState, _before: SearchState | None, /
    ) -> Iterator[None]:
        kept = self.replay.scores_kept(self.info.name, moment)
        pattern, own = self.info.pattern, now.of(self.blocks)
        self._winners.append(own.winners)
        self._bits.append(np.broadcast_to(own.bits, (len(self.blocks), row_bytes(pattern))))
        self._kept.append(np.broadcast_to(own.kept(pattern), (len(self.blocks), pattern.m)))
        if kept is not None:
            self._scores[moment] = kept.of(self.blocks)
        return iter(())

    def biographies(self) -> tuple[Biography, ...]:
        """One for each block, up to the last moment visited."""
        pattern = self.info.pattern
        epochs = np.array([one.epoch for one in self.replay.moments[: self.moments]])
        done = [
            (one, one.intervention)
            for one in read_interventions(self.replay.path.parent)
            if one.moment < self.moments and isinstance(one.intervention, Intervention)
        ]
        return tuple(
            biography(
                pattern,
                epochs,
                np.array([one[k] for one in self._winners], index_type(pattern)),
                np.array([one[k] for one in self._bits], np.uint8).reshape(-1, row_bytes(pattern)),
                np.array([one[k] for one in self._kept], bool).reshape(-1, pattern.m),
                {moment: one.of([k]) for moment, one in self._scores.items()},
                [one for one, what in done if what.touches(self.info.name, block)],
            )
            for k, block in enumerate(self.blocks)
        )


def biographies(replay: Replay, name: str, blocks: Sequence[int]) -> tuple[Biography, ...]:
    """Blocks of a layer over all moments of a history; several take as long as one.

    Raises as ``Replay.layer``.
    """
    walk = BlockWalk(replay, name, blocks)
    while walk.advance():
        pass
    return walk.biographies()


@dataclass(frozen=True)
class RemovalTimes:
    """When every combination of a layer was removed; arrays are read-only.

    ``epochs`` (R,) are those of moments with removals. ``when`` (blocks, K) counts them from 1, 0
    if still live; ``ranks`` (blocks, K) are among those live until then, 1 the best, 0 if unknown.
    K = C or, by position, the M positions, removed when no live combination holds them.
    """

    epochs: tuple[float, ...]
    when: npt.NDArray[np.unsignedinteger]
    ranks: npt.NDArray[np.uint8] | None

    def epoch(self, block: int, cell: int) -> float | None:
        """When a cell was removed; None if it is live, or its removal not yet known."""
        when = int(self.when[block, cell])
        return self.epochs[when - 1] if when else None

    def rank(self, block: int, cell: int) -> tuple[int, int] | None:
        """Its rank at its removal, and how many were live until then; None if unknown."""
        if self.ranks is None or not self.ranks[block, cell]:
            return None
        of = self.when[block]
        return int(self.ranks[block, cell]), int(((of == 0) | (of >= of[cell])).sum())


class RemovalWalk(Walk):
    """Collects the times of all removals in a layer; moments without a removal cost little.

    ``times`` is replaced once a moment has been visited completely.
    """

    def __init__(self, replay: Replay, name: str, by_position: bool = False) -> None:
        self._by_position = by_position
        super().__init__(replay, name)

    def reset(self) -> None:
        pattern = self.info.pattern
        cells = pattern.m if self._by_position else pattern.count
        when = np.zeros((self.info.blocks, cells), np.uint8)
        when.flags.writeable = False
        self.times = RemovalTimes((), when, None if self._by_position else when)

    def visit(self, moment: int, now: SearchState, before: SearchState | None, /) -> Iterator[None]:
        if before is None or np.array_equal(before.bits, now.bits):
            return
        epochs = (*self.times.epochs, self.replay.moments[moment].epoch)
        kind = np.min_scalar_type(max(len(epochs), 255))
        when = self.times.when.astype(kind)
        ranks = None if self.times.ranks is None else self.times.ranks.copy()
        kept = None if ranks is None else self.replay.scores_kept(self.info.name, moment)
        size = max(1, STEP_CELLS // self.info.pattern.count)
        for first in range(0, self.info.blocks, size):
            rows = slice(first, min(first + size, self.info.blocks))
            lived, lives = self._cells(before, rows), self._cells(now, rows)
            gone = lived & ~lives
            # A block that gains combinations, as under SR-STE, removes none for good.
            gone[(lives & ~lived).any(axis=1)] = False
            when[rows][lives] = 0
            when[rows][gone] = len(epochs)
            if ranks is not None:
                ranks[rows][lives | gone] = 0
            if ranks is not None and kept is not None:
                _rank(ranks[rows], kept.of(rows).by_combination(), lived, gone)
            yield
        for array in (when, ranks):
            if array is not None:
                array.flags.writeable = False
        self.times = RemovalTimes(epochs, when, ranks)

    def _cells(self, state: SearchState, rows: slice) -> Bools:
        """What is live: bool (rows, K)."""
        pattern, size = self.info.pattern, rows.stop - rows.start
        own = state.of(rows)
        if self._by_position:
            cells = own.kept(pattern)
        else:
            cells = np.ascontiguousarray(unpack(own.bits, pattern.count))
        return np.broadcast_to(cells, (size, cells.shape[1])) if len(cells) == 1 else cells


def _rank(ranks: npt.NDArray[np.uint8], scores: Floats, lived: Bools, gone: Bools) -> None:
    """Note the ranks of what was removed among what was live, ties to the earlier."""
    rows, cells = np.nonzero(gone)
    scores = np.where(lived, scores, np.float32(-np.inf))[rows]
    own = np.take_along_axis(scores, cells[:, None], axis=1)
    earlier = np.arange(scores.shape[1]) < cells[:, None]
    better = (scores > own) | ((scores == own) & earlier)
    ranks[rows, cells] = 1 + better.sum(axis=1)
