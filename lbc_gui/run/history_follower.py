"""What a history says of the open layer and the pinned block, gathered a moment at a time."""

from __future__ import annotations

from pathlib import Path
from weakref import WeakKeyDictionary

from lbc.pictures.mask_snapshot import MaskRequest
from lbc.pictures.score_snapshot import LARGEST_DRAWN_COUNT
from lbc.runs.block_history import Life, ParentLife
from lbc.runs.history_reader import Replay
from lbc.runs.history_walks import BlockWalk, RemovalTimes, RemovalWalk, Walk
from lbc.runs.run_state import Parent
from lbc_gui.run.snapshot_broker import Request

LARGEST_TABLE = 1 << 25
"""Cells of a layer above which it is not kept when each of them was removed: two bytes a cell."""


class HistoryFollower:
    """Walks through one replay, in steps of milliseconds.

    One walk follows the pinned block, another when each cell of the open page's picture was
    removed, by combination or by position. A walk starts anew for another layer, block or replay.
    After a failure, reading resumes once the file has changed. Of a fork, a third walk follows the
    block in its ``parent``.
    """

    def __init__(self) -> None:
        self._gone: dict[bool, RemovalWalk] = {}
        self._life: BlockWalk | None = None
        self.parent: tuple[Parent, Replay] | None = None
        """What the run was forked from, and the history of that."""
        self._other: BlockWalk | None = None
        self._shown: RemovalTimes | None = None
        self._failed: WeakKeyDictionary[Walk, object] = WeakKeyDictionary()

    def next_walk(self, replay: Replay, request: Request) -> Walk | None:
        """A walk that has not reached the end of the history; None if there is none."""
        for walk in self._walks(replay, request):
            failed = walk in self._failed and self._failed[walk] == _stamp(replay.path)
            if walk.behind and not failed:
                return walk
        return None

    def step(self, walk: Walk) -> Life | RemovalTimes | None:
        """Take in one moment; what is known now if it was the last one and brought news.

        Raises as ``Walk.advance``.
        """
        stamp = _stamp(walk.replay.path)
        try:
            walk.advance()
        except Exception:
            self._failed[walk] = stamp
            raise
        if walk.behind:
            return None
        if isinstance(walk, BlockWalk):
            return self._lived()
        if isinstance(walk, RemovalWalk) and walk.times is not self._shown:
            return walk.times
        return None

    def _lived(self) -> Life | None:
        """The life of the pinned block; None until all of it is read."""
        life, other, beside = self._life, self._other, None
        if life is None or life.behind:
            return None
        same = other is not None and (other.info.name, other.blocks) == (
            life.info.name,
            life.blocks,
        )
        if self.parent is not None and other is not None and same and other.moments:
            beside = ParentLife(self.parent[0], other.biographies()[0])
        return Life(life.info.name, life.blocks[0], life.biographies()[0], other=beside)

    def _walk_parent(self, life: BlockWalk) -> BlockWalk | None:
        """A walk through the history of the same block in the parent, if that has it."""
        if self.parent is None:
            return None
        replay, name = self.parent[1], life.info.name
        info = next((info for info in replay.layers if info.name == name), None)
        if info is None or (info.blocks, info.pattern.m) != (life.info.blocks, life.info.pattern.m):
            return None
        other = self._other
        if other is None or not _same(other, replay, name) or other.blocks != life.blocks:
            other = self._other = BlockWalk(replay, name, life.blocks)
        return other

    def gone(self, request: Request) -> RemovalTimes | None:
        """The removals in a layer that are known so far, for a picture of it."""
        walk = self._gone.get(isinstance(request, MaskRequest))
        if walk is None or walk.info.name != request.layer:
            return None
        self._shown = walk.times
        return walk.times

    def _walks(self, replay: Replay, request: Request) -> list[Walk]:
        walks: list[Walk] = []
        info = next((info for info in replay.layers if info.name == request.layer), None)
        if info is None:
            return walks
        block = request.block
        if block is not None and block < info.blocks:
            life = self._life
            if life is None or not _same(life, replay, info.name) or life.blocks != [block]:
                life = self._life = BlockWalk(replay, info.name, [block])
            walks.append(life)
            if (other := self._walk_parent(life)) is not None:
                walks.append(other)
        masks = isinstance(request, MaskRequest)
        by_position = masks or info.pattern.count > LARGEST_DRAWN_COUNT
        cells = info.blocks * (info.pattern.m if by_position else info.pattern.count)
        if cells <= LARGEST_TABLE:
            gone = self._gone.get(masks)
            if gone is None or not _same(gone, replay, info.name):
                gone = self._gone[masks] = RemovalWalk(replay, info.name, by_position)
            walks.append(gone)
        return walks


def _same(walk: Walk, replay: Replay, name: str) -> bool:
    return walk.replay is replay and walk.info.name == name


def _stamp(file: Path) -> object:
    """Differs once a file has changed."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns
