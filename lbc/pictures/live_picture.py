"""The part of a picture that is on screen: drawn on a server, and put over a recorded moment."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import numpy as np

from lbc.pictures.colour_keys import Key
from lbc.pictures.level_of_detail import Detail, Reduction, detail
from lbc.pictures.mask_snapshot import MaskRequest, MaskSnapshot, draw_mask
from lbc.pictures.score_snapshot import (
    BlockState,
    Drawn,
    KeyedCodes,
    Snapshot,
    ViewRequest,
    draw,
    fixed,
)
from lbc.runs.layer_moment import LayerMoment, LayerState
from lbc.sparsity.arrays import Floats

D = TypeVar("D", bound=Drawn)

Level = Literal["cells", "summary"]
"""Whether each cell of a block is drawn, or one cell for each block."""

MOST_EXACT = 4096
"""The most scores on screen that are known exactly, and not only by their colour."""


@dataclass(frozen=True)
class Part:
    """What of a picture is visible: a range in cells, and how many pixels it has on screen."""

    x0: float = 0.0
    y0: float = 0.0
    x1: float = 1e9
    y1: float = 1e9
    width: int = 1000
    height: int = 500

    def of(self, drawn: Drawn) -> tuple[Level, Detail]:
        """The visible codes: cells where each has the pixels it needs, else blocks.

        The place of the detail is in cells, or for blocks in blocks.
        """
        high, wide = drawn.fold.size
        x0, x1, y0, y1 = max(self.x0, 0), min(self.x1, wide), max(self.y0, 0), min(self.y1, high)
        size = self.width, self.height
        if self.width >= self.x1 - self.x0 and self.height >= self.y1 - self.y0:
            return "cells", detail(drawn.cells.codes, x0, y0, x1, y1, *size)
        rows, columns = drawn.fold.grid
        codes, summary = drawn.summary.codes, drawn.reduction
        place = x0 / columns, y0 / rows, x1 / columns, y1 / rows
        return "summary", detail(codes, *place, *size, summary)


@dataclass(frozen=True)
class Exact:
    """Scores, −inf where removed, of the blocks in some rows and columns of blocks.

    ``scores`` is (rows, columns, K).
    """

    row: int
    column: int
    scores: Floats


@dataclass(frozen=True, eq=False)
class LivePicture:
    """The visible part of a layer as it was after ``epoch`` epochs, in answer to ``request``.

    ``size`` is that of the codes of the whole ``level``; ``part`` is within it. ``block`` is the
    pinned block, and ``note`` that of a ``MaskSnapshot``.
    """

    request: ViewRequest
    epoch: float
    level: Level
    key: Key
    reduction: Reduction
    size: tuple[int, int]
    part: Detail
    decided: bool = False
    block: BlockState | None = None
    layers: tuple[LayerState, ...] = ()
    exact: Exact | None = None
    note: str = ""

    def over(self, snapshot: Snapshot | MaskSnapshot) -> Snapshot | MaskSnapshot:
        """The snapshot of an earlier moment, with what is on screen as it is in this picture."""
        drawn = snapshot.sheet if isinstance(snapshot, MaskSnapshot) else snapshot
        codes = getattr(drawn, self.level).codes
        if snapshot.request != self.request or codes.shape != self.size:
            return snapshot
        block = snapshot.block
        if self.block is not None and self.block.pattern == snapshot.pattern:
            block = self.block
        layers = self.layers or snapshot.layers
        if isinstance(snapshot, MaskSnapshot):
            sheet = replace(self._drawn_over(snapshot.sheet), epoch=self.epoch)
            note = self.note if snapshot.beside is None else snapshot.note
            return replace(
                snapshot, sheet=sheet, epoch=self.epoch, note=note, block=block, layers=layers
            )
        scores, scores_epoch = snapshot.scores, snapshot.scores_epoch
        if self.exact is not None:
            scores, scores_epoch = self._with_exact(snapshot, self.exact), None
        return replace(
            self._drawn_over(snapshot), epoch=self.epoch, block=block, layers=layers,
            decided=self.decided, scores=scores, scores_epoch=scores_epoch,
        )  # fmt: skip

    def _drawn_over(self, drawn: D) -> D:
        """With the codes of this picture where it has some."""
        part, before = self.part, getattr(drawn, self.level)
        codes = before.codes.copy()
        high, wide = part.codes.shape
        patch = part.codes
        if part.height != high or part.width != wide:
            patch = patch.repeat(part.height // high, axis=0).repeat(part.width // wide, axis=1)
        place = codes[part.y : part.y + part.height, part.x : part.x + part.width]
        place[:] = patch[: place.shape[0], : place.shape[1]]
        keyed = KeyedCodes(fixed(codes), self.key)
        if self.level == "cells":
            return replace(drawn, cells=keyed, reduction=self.reduction)
        return replace(drawn, summary=keyed, reduction=self.reduction)

    def _with_exact(self, snapshot: Snapshot, exact: Exact) -> Floats:
        fold, scores = snapshot.fold, snapshot.scores
        rows, columns, cells = exact.scores.shape
        if cells != fold.cells:
            return scores
        scores = scores.copy()
        by_row = scores.reshape(fold.outputs, fold.blocks_per_row, fold.cells)
        place = by_row[exact.row : exact.row + rows, exact.column : exact.column + columns]
        place[:] = exact.scores[: place.shape[0], : place.shape[1]]
        scores.flags.writeable = False
        return scores


def draw_live(moment: LayerMoment, request: ViewRequest, part: Part) -> LivePicture:
    """Draw what is visible of the present state of a layer."""
    note, decided, exact = "", False, None
    drawn: Drawn
    if isinstance(request, MaskRequest):
        sheet = draw_mask(moment, request)
        drawn, note, block = sheet.sheet, sheet.note, sheet.block
    else:
        drawn = snapshot = draw(moment, request)
        block, decided = snapshot.block, snapshot.decided
        exact = _exact(snapshot, part)
    level, visible = part.of(drawn)
    codes: KeyedCodes = getattr(drawn, level)
    return LivePicture(
        request, moment.epoch, level, codes.scale, drawn.reduction, codes.codes.shape, visible,
        decided, block, moment.layers, exact, note,
    )  # fmt: skip


def _exact(snapshot: Snapshot, part: Part) -> Exact | None:
    """The scores of the visible blocks, if they are few."""
    (rows, columns), fold = snapshot.fold.grid, snapshot.fold
    top, left = max(0, int(part.y0) // rows), max(0, int(part.x0) // columns)
    bottom = min(fold.outputs, int(min(part.y1, 1e9)) // rows + 1)
    right = min(fold.blocks_per_row, int(min(part.x1, 1e9)) // columns + 1)
    if top >= bottom or left >= right or (bottom - top) * (right - left) * fold.cells > MOST_EXACT:
        return None
    by_row = snapshot.scores.reshape(fold.outputs, fold.blocks_per_row, fold.cells)
    return Exact(top, left, np.ascontiguousarray(by_row[top:bottom, left:right], np.float32))
