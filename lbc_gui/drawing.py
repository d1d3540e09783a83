"""From a moment of one layer to the pictures that the views show. Runs in the drawing thread."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lbc.heatmap import (
    USUAL_CLIP,
    Codes,
    Colour,
    Floats,
    Fold,
    Summary,
    levels,
    quantise,
    summarise,
    values,
)
from lbc.pattern import Pattern
from lbc_gui.moment import Flags, LayerMoment, LayerState, Watch

LARGEST_DRAWN_COUNT = 128
"""Above this many combinations a block draws one cell per position instead (4:16 has 1,820)."""


@dataclass(frozen=True)
class Look:
    """How scores are coloured; ``held`` are levels to keep, ``clip`` per cent beyond each end."""

    colour: Colour = "difference"
    summary: Summary = "best"
    colour_map: str = ""
    log: bool = False
    clip: float = USUAL_CLIP
    held: tuple[float, float] | None = None


@dataclass(frozen=True)
class ViewRequest:
    """What the window is looking at: a layer, how, and a pinned block."""

    layer: str
    look: Look = Look()
    block: int | None = None

    @property
    def watch(self) -> Watch:
        return Watch(self.layer, self.block)


@dataclass(frozen=True)
class Scale:
    """What the colour codes of a picture mean."""

    colour: Colour
    low: float
    high: float
    log: bool = False
    colour_map: str = ""


@dataclass(frozen=True)
class Picture:
    """Colour codes, read-only, and their scale."""

    codes: Codes
    scale: Scale


@dataclass(frozen=True)
class BlockState:
    """One block: weights (M,), mask (M,), scores (C,) with −inf where removed, pattern."""

    index: int
    pattern: Pattern
    weights: Floats
    kept: Flags
    scores: Floats


@dataclass(frozen=True)
class Snapshot:
    """The open layer at one moment.

    ``scores`` is (blocks, K), −inf where removed: K = C combinations or, ``by_position``, the M
    positions' own scores. ``cells`` shows each of them, ``summary`` one cell per block, (outputs,
    blocks per output).
    """

    request: ViewRequest
    epoch: float
    pattern: Pattern
    shape: tuple[int, ...]
    by_position: bool
    scores: Floats
    fold: Fold
    cells: Picture
    summary: Picture
    block: BlockState | None
    layers: tuple[LayerState, ...]


def draw(moment: LayerMoment, request: ViewRequest) -> Snapshot:
    """Everything the views show of ``moment``."""
    by_position = moment.count > LARGEST_DRAWN_COUNT
    scores = _positions(moment) if by_position else moment.scores()
    assert scores is not None
    look = request.look
    shown = values(scores, look.colour)
    fold = Fold(moment.shape[0], moment.blocks, scores.shape[1])
    low, high = look.held or levels(shown, look.colour, look.clip)
    scale = Scale(look.colour, low, high, look.log, look.colour_map)
    cells = fold.apply(quantise(shown, low, high, look.log))
    scores.flags.writeable = cells.flags.writeable = False
    return Snapshot(
        request=request,
        epoch=moment.epoch,
        pattern=moment.pattern,
        shape=moment.shape,
        by_position=by_position,
        scores=scores,
        fold=fold,
        cells=Picture(cells, scale),
        summary=_summary(shown, scores, fold, look, scale),
        block=_block(moment, None if by_position else scores),
        layers=moment.layers,
    )


def _summary(shown: Floats, scores: Floats, fold: Fold, look: Look, scale: Scale) -> Picture:
    if look.summary == "margin":
        spoken = summarise(scores, "margin")
        low, high = 0.0, levels(spoken[:, None], "margin", look.clip)[1]
        scale = Scale("score", low, high, look.log, look.colour_map)
    else:
        spoken = summarise(shown, look.summary)
    codes = quantise(spoken, scale.low, scale.high, look.log)
    codes = codes.reshape(fold.outputs, fold.blocks_per_row)
    codes.flags.writeable = False
    return Picture(codes, scale)


def _positions(moment: LayerMoment) -> Floats | None:
    positions = moment.positions()
    if positions is None:
        return None
    return np.where(moment.kept(), positions, np.float32(-np.inf))


def _block(moment: LayerMoment, scores: Floats | None) -> BlockState | None:
    block = moment.block
    if block is None or moment.block_weights is None:
        return None
    rows = slice(block, block + 1)
    of_block = moment.scores(rows) if scores is None else scores[rows]
    assert of_block is not None
    kept = moment.kept(rows)[0]
    return BlockState(block, moment.pattern, moment.block_weights, kept, of_block[0])
