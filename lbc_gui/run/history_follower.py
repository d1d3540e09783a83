"""What a history says of the open layer and the pinned block, gathered a moment at a time."""

from __future__ import annotations

from enum import Enum
from typing import Literal

from lbc.pictures.mask_snapshot import MaskRequest
from lbc.pictures.score_snapshot import LARGEST_DRAWN_COUNT, ViewRequest
from lbc.runs.block_history import Life
from lbc.runs.history_reader import Replay
from lbc.runs.history_walks import BlockWalk, RemovalTimes, RemovalWalk, Walk

Request = ViewRequest | MaskRequest
"""What a page wants to be drawn; it says which of the trainer's tensors that takes."""

LARGEST_TABLE = 1 << 25
"""Cells of a layer above which it is not kept when each of them was removed: two bytes a cell."""


class _News(Enum):
    GONE = "gone"


class Follower:
    """Walks through one replay, for the drawing thread: each step takes milliseconds.

    They follow the pinned block, and when each cell of the open page's picture was removed, by
    combination or by position. They start anew where another layer, block or run is asked for, and
    end where the history is damaged.
    """

    GONE: Literal[_News.GONE] = _News.GONE
    """The news that more removals are known."""

    def __init__(self) -> None:
        self._gone: dict[bool, RemovalWalk] = {}
        self._life: BlockWalk | None = None
        self._shown: RemovalTimes | None = None
        self._damaged: Walk | None = None

    def behind(self, replay: Replay | None, request: Request | None) -> bool:
        """Whether there is anything to take in."""
        if replay is None or request is None:
            return False
        walks = self._walks(replay, request)
        return any(walk.behind and walk is not self._damaged for walk in walks)

    def step(self, replay: Replay, request: Request) -> Life | Literal[_News.GONE] | None:
        """Take in one moment; the news where a walk has come to its end with it."""
        for walk in self._walks(replay, request):
            if not walk.behind or walk is self._damaged:
                continue
            try:
                walk.advance()
            except (OSError, ValueError):
                self._damaged = walk
                return None
            if walk.behind:
                return None
            if isinstance(walk, BlockWalk):
                return Life(walk.info.name, walk.blocks[0], walk.biographies()[0])
            if isinstance(walk, RemovalWalk) and walk.times is not self._shown:
                return self.GONE
        return None

    def gone(self, request: Request) -> RemovalTimes | None:
        """What is known by now of the removals in a layer, for a picture of it."""
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
