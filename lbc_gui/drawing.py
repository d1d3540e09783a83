"""From a moment of one layer to the pictures that the views show. Runs in the drawing thread."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from lbc.heatmap import (
    USUAL_CLIP,
    Codes,
    Colour,
    Floats,
    Fold,
    Summary,
    by_chunks,
    levels,
    quantise,
    summarise,
    values,
    winners,
)
from lbc.palette import lookup_table
from lbc.pattern import Pattern
from lbc.runs.chronicle import Gone
from lbc_gui.detail import Reduction, reduce_codes
from lbc_gui.moment import Flags, LayerMoment, LayerState, Watch

THUMBNAIL_WIDTH = 48
"""The most cells in a row of a thumbnail."""

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
    """What the window is looking at: a layer, how, a pinned block, and when.

    ``moment`` is the index of a moment in the run's history, None for now.
    """

    layer: str
    look: Look = Look()
    block: int | None = None
    moment: int | None = None

    @property
    def watch(self) -> Watch:
        return Watch(self.layer, self.block)


class Key(Protocol):
    """What the colour codes of a picture mean."""

    def table(self, background: tuple[int, int, int]) -> Codes:
        """RGB of every colour code: uint8 (256, 3)."""


@dataclass(frozen=True)
class Scale:
    """Colour codes that are levels. ``texts`` stand at the ends in place of the levels, and
    ``removed`` is what the removed look means, empty where there is none."""

    colour: Colour
    low: float
    high: float
    log: bool = False
    colour_map: str = ""
    texts: tuple[str, str] | None = None
    removed: str = "removed"

    def table(self, background: tuple[int, int, int]) -> Codes:
        return lookup_table(self.colour, background, self.colour_map)


K = TypeVar("K", bound=Key, covariant=True)


@dataclass(frozen=True)
class Picture(Generic[K]):
    """Colour codes, read-only, and their scale."""

    codes: Codes
    scale: K


@dataclass(frozen=True)
class BlockState:
    """One block: weights (M,), mask (M,), scores (C,) with −inf where removed, pattern.

    Weights are None in the past: a history does not keep them.
    """

    index: int
    pattern: Pattern
    weights: Floats | None
    kept: Flags
    scores: Floats


@dataclass(frozen=True)
class Snapshot:
    """The open layer at one moment.

    ``scores`` is (blocks, K), −inf where removed: K = C combinations or, ``by_position``, the M
    positions' own scores. ``cells`` shows each of them, ``summary`` one cell per block, (outputs,
    blocks per output). ``gone`` says when what is removed went, as far as the history was read.
    """

    request: ViewRequest
    epoch: float
    pattern: Pattern
    shape: tuple[int, ...]
    by_position: bool
    scores: Floats
    fold: Fold
    cells: Picture[Scale]
    summary: Picture[Scale]
    block: BlockState | None
    layers: tuple[LayerState, ...]
    scores_epoch: float | None = None
    gone: Gone | None = None

    @property
    def layer(self) -> str:
        return self.request.layer

    @property
    def reduction(self) -> Summary:
        """What stands for several blocks where they have too few pixels."""
        return self.request.look.summary


class Drawn(Protocol):
    """What a heatmap shows: ``cells``, and in ``summary`` one cell for each block of ``fold``."""

    @property
    def layer(self) -> str: ...
    @property
    def fold(self) -> Fold: ...
    @property
    def cells(self) -> Picture[Key]: ...
    @property
    def summary(self) -> Picture[Key]: ...
    @property
    def reduction(self) -> Reduction: ...


@dataclass(frozen=True)
class Thumbnail:
    """A layer's picture in little: some output channels, ``THUMBNAIL_WIDTH`` cells a row.

    ``winners`` are the best combinations of their blocks, ``flips`` the share of them that differ
    from the thumbnail before.
    """

    name: str
    picture: Picture[Scale]
    winners: npt.NDArray[np.int64]
    flips: float | None = None

    def since(self, before: Thumbnail | None) -> Thumbnail:
        """The same, with the flips since ``before``."""
        if before is None or len(before.winners) != len(self.winners):
            return self
        return replace(self, flips=float((before.winners != self.winners).mean()))


def draw(moment: LayerMoment, request: ViewRequest) -> Snapshot:
    """Everything the views show of ``moment``."""
    look = request.look
    layer = _coloured(moment, look)
    scores, shown, fold, scale = layer.scores, layer.shown, layer.fold, layer.scale
    codes = by_chunks(
        lambda rows: quantise(shown[rows], scale.low, scale.high, look.log), *shown.shape
    )
    cells = fold.apply(codes)
    scores.flags.writeable = cells.flags.writeable = False
    return Snapshot(
        request=request,
        epoch=moment.epoch,
        pattern=moment.pattern,
        shape=moment.shape,
        by_position=layer.by_position,
        scores=scores,
        fold=fold,
        cells=Picture(cells, scale),
        summary=_summary(layer, look),
        block=block_state(moment, request.block, None if layer.by_position else scores),
        layers=moment.layers,
        scores_epoch=moment.scores_epoch,
    )


def draw_thumbnail(sample: LayerMoment, look: Look) -> Thumbnail:
    """A sample of a layer, as ``copy_sample`` takes it, in the same colours as the layer."""
    layer = _coloured(sample, replace(look, held=None))
    summary = _summary(layer, look)
    step = -(-summary.codes.shape[1] // THUMBNAIL_WIDTH)
    codes = reduce_codes(summary.codes, 1, step, look.summary)
    return Thumbnail(sample.name, Picture(codes, summary.scale), winners(layer.scores))


@dataclass(frozen=True)
class _Coloured:
    """A layer's scores, what is shown of them, both (blocks, K), and how it is coloured."""

    scores: Floats
    by_position: bool
    shown: Floats
    fold: Fold
    scale: Scale


def _coloured(moment: LayerMoment, look: Look) -> _Coloured:
    by_position = moment.count > LARGEST_DRAWN_COUNT
    scores = _positions(moment) if by_position else _scores(moment)
    shown = by_chunks(lambda rows: values(scores[rows], look.colour), *scores.shape)
    low, high = look.held or levels(shown, look.colour, look.clip)
    return _Coloured(
        scores,
        by_position,
        shown,
        Fold(moment.shape[0], moment.blocks, scores.shape[1]),
        Scale(look.colour, low, high, look.log, look.colour_map),
    )


def _summary(layer: _Coloured, look: Look) -> Picture[Scale]:
    source = layer.scores if look.summary == "margin" else layer.shown
    spoken = by_chunks(lambda rows: summarise(source[rows], look.summary), *source.shape)
    fold, scale = layer.fold, layer.scale
    if look.summary == "margin":
        low, high = 0.0, levels(spoken[:, None], "margin", look.clip)[1]
        scale = Scale("score", low, high, look.log, look.colour_map)
    codes = quantise(spoken, scale.low, scale.high, look.log)
    codes = codes.reshape(fold.outputs, fold.blocks_per_row)
    codes.flags.writeable = False
    return Picture(codes, scale)


def _scores(moment: LayerMoment) -> Floats:
    scores = moment.scores()
    if scores is not None:
        return scores
    # No scores kept: the winner stands out from the others that live.
    live = moment.live()
    assert live is not None and moment.winners is not None
    scores = np.where(live, np.float32(0), np.float32(-np.inf))
    scores[np.arange(len(scores)), moment.winners] = 1
    return scores


def _positions(moment: LayerMoment) -> Floats:
    positions = moment.positions()
    kept = moment.kept()
    if positions is None:
        positions = np.zeros(kept.shape, np.float32)
    return np.where(kept, positions, np.float32(-np.inf))


def block_state(
    moment: LayerMoment, block: int | None, scores: Floats | None = None
) -> BlockState | None:
    """One block of a layer, whose scores (blocks, C) may be at hand; None where there is none."""
    if block is None or block >= moment.blocks:
        return None
    rows = slice(block, block + 1)
    of_block = moment.scores(rows) if scores is None else scores[rows]
    if of_block is None:
        return None
    kept = moment.kept(rows)[0]
    return BlockState(block, moment.pattern, moment.block_weights, kept, of_block[0])
