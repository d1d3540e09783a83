"""From a moment of one layer to the pictures that the views show."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lbc.pictures.colour_keys import Key, Scale, winner_codes, winner_key
from lbc.pictures.layer_moment import Watch
from lbc.pictures.level_of_detail import Reduction, reduce_codes
from lbc.pictures.score_codes import (
    SYMMETRIC,
    USUAL_CLIP,
    Codes,
    Colour,
    Fold,
    Summary,
    levels,
    quantise,
    summarise,
    values,
)
from lbc.runs.history_walks import RemovalTimes
from lbc.runs.layer_moment import LayerMoment, LayerState
from lbc.sparsity.arrays import Bools, Floats, Indices, by_chunks
from lbc.sparsity.combinations import index_of, row_counts
from lbc.sparsity.pattern import Pattern

THUMBNAIL_WIDTH = 48
"""The most cells in a row of a thumbnail."""

LARGEST_DRAWN_COUNT = 128
"""Above this many combinations a block draws one cell per position instead (4:16 has 1,820)."""


@dataclass(frozen=True)
class Look:
    """How scores are coloured; ``held`` fixes the levels, ``clip`` is per cent beyond each end."""

    colour: Colour = "margin"
    summary: Summary = "best"
    colour_map: str = ""
    log: bool = False
    clip: float = USUAL_CLIP
    held: tuple[float, float] | None = None


@dataclass(frozen=True)
class ViewRequest:
    """What the window shows: a layer, how, a pinned block, and when.

    ``moment`` is the index of a moment in the run's history, None for the present.
    """

    layer: str
    look: Look = Look()
    block: int | None = None
    moment: int | None = None

    @property
    def watch(self) -> Watch:
        return Watch(self.layer, self.block)


@dataclass(frozen=True)
class KeyedCodes:
    """Colour codes, read-only, and the key that says what they mean."""

    codes: Codes
    scale: Key


@dataclass(frozen=True)
class BlockState:
    """One block: weights (M,), mask (M,), scores (C,) with −inf where removed, pattern.

    Weights are None if unknown: a history does not record them.
    """

    index: int
    pattern: Pattern
    weights: Floats | None
    kept: Bools
    scores: Floats


@dataclass(frozen=True)
class Drawn:
    """What a heatmap shows: ``cells``, and in ``summary`` one cell for each block of ``fold``.

    ``reduction`` is what represents several blocks that have too few pixels.
    """

    layer: str
    fold: Fold
    cells: KeyedCodes
    summary: KeyedCodes
    reduction: Reduction


@dataclass(frozen=True)
class Snapshot(Drawn):
    """The open layer at one moment.

    ``scores`` is (blocks, K), −inf where removed: K = C combinations or, ``by_position``, the M
    positions' own scores. ``cells`` shows each of them, ``summary`` one cell per block, (outputs,
    blocks per output). Once every block is ``decided`` the colours are those of the winners, unless
    the look is of scores. ``gone`` has the times of removals, as far as the history has been read.
    """

    request: ViewRequest
    epoch: float
    pattern: Pattern
    shape: tuple[int, ...]
    by_position: bool
    scores: Floats
    decided: bool
    block: BlockState | None
    layers: tuple[LayerState, ...]
    scores_epoch: float | None = None
    gone: RemovalTimes | None = None


@dataclass(frozen=True)
class Thumbnail:
    """A small picture of a layer: some output channels, ``THUMBNAIL_WIDTH`` cells per row."""

    name: str
    picture: KeyedCodes


def draw(moment: LayerMoment, request: ViewRequest) -> Snapshot:
    """Draw everything the views show of ``moment``."""
    scores, by_position, fold = _laid_out(moment)
    won = _won_blocks(moment, request.look)
    mixed = False
    if won is None:
        cells, of_blocks = _of_values(scores, request.look)
        cells, of_blocks, mixed = _with_decided(moment, request.look, cells, of_blocks)
        summary, picture = _in_rows(of_blocks, fold), fold.apply(cells.codes)
    else:
        cells = summary = _in_rows(won, fold)
        rows, columns = fold.grid
        picture = summary.codes.repeat(rows, axis=0).repeat(columns, axis=1)
    scores.flags.writeable = False
    return Snapshot(
        layer=request.layer,
        request=request,
        epoch=moment.epoch,
        pattern=moment.pattern,
        shape=moment.shape,
        by_position=by_position,
        scores=scores,
        fold=fold,
        cells=KeyedCodes(fixed(picture), cells.scale),
        summary=summary,
        reduction="sample" if won is not None or mixed else request.look.summary,
        decided=won is not None,
        block=block_state(moment, request.block, None if by_position else scores),
        layers=moment.layers,
        scores_epoch=moment.scores_epoch,
    )


def draw_thumbnail(sample: LayerMoment, look: Look) -> Thumbnail:
    """Draw a sample of a layer, as from ``copy_sample``, in the same colours as the layer."""
    look = replace(look, held=None)
    scores, _, fold = _laid_out(sample)
    of_blocks, mixed = _won_blocks(sample, look), True
    if of_blocks is None:
        of_blocks = _summary(scores, *_shown(scores, look), look)
        _, of_blocks, mixed = _with_decided(sample, look, of_blocks, of_blocks)
    reduction: Reduction = "sample" if mixed else look.summary
    summary = _in_rows(of_blocks, fold)
    step = -(-summary.codes.shape[1] // THUMBNAIL_WIDTH)
    codes = reduce_codes(summary.codes, 1, step, reduction)
    return Thumbnail(sample.name, KeyedCodes(codes, summary.scale))


def _laid_out(moment: LayerMoment) -> tuple[Floats, bool, Fold]:
    """The value of each cell, (blocks, K), whether a cell is a position, and the layout."""
    by_position = moment.pattern.count > LARGEST_DRAWN_COUNT
    scores = _positions(moment) if by_position else _scores(moment)
    return scores, by_position, Fold(moment.shape[0], moment.blocks, scores.shape[1])


def _won_blocks(moment: LayerMoment, look: Look) -> KeyedCodes | None:
    """Every block, (blocks,), in its winner's colour, once every block has one combination left:
    every difference and lead would look the same. None before, and for a look of scores."""
    if look.colour == "score" or look.held:
        return None
    pattern = moment.pattern
    if int(np.count_nonzero(moment.mask)) == moment.blocks * pattern.n:
        won = index_of(moment.kept(), pattern)
    else:
        won = _only_live(moment)
    return None if won is None else KeyedCodes(winner_codes(won, pattern), winner_key(pattern))


def _only_live(moment: LayerMoment) -> Indices | None:
    """The one live combination of every block, (blocks,), of a layer whose decided mask keeps
    another number than N; None before."""
    packed = moment.packed
    if packed is None or (np.bitwise_count(packed).sum(axis=1) != 1).any():
        return None
    live = moment.live()
    return None if live is None else live.argmax(axis=1)


def _with_decided(
    moment: LayerMoment, look: Look, *pictures: KeyedCodes
) -> tuple[KeyedCodes, KeyedCodes, bool]:
    """Two pictures of the blocks in which those decided have their winner's colour, and whether
    there are any."""
    first, second = pictures
    kept, pattern = moment.kept(), moment.pattern
    decided = row_counts(kept) == pattern.n  # two combinations hold more positions together
    if look.colour == "score" or look.held or not decided.any():
        return first, second, False
    winners = index_of(kept[decided], pattern)
    if winners is None:
        return first, second, False
    mixed = []
    for picture in pictures:
        assert isinstance(picture.scale, Scale)
        scale = replace(picture.scale, decided=pattern)
        mixed.append(KeyedCodes(scale.with_winners(picture.codes, decided, winners), scale))
    return mixed[0], mixed[1], True


def _of_values(scores: Floats, look: Look) -> tuple[KeyedCodes, KeyedCodes]:
    """Every cell, (blocks, K), and every block, (blocks,), coloured as ``look`` says."""
    shown, scale = _shown(scores, look)
    cells = by_chunks(
        lambda rows: quantise(shown[rows], scale.low, scale.high, look.log), *shown.shape
    )
    return KeyedCodes(cells, scale), _summary(scores, shown, scale, look)


def _shown(scores: Floats, look: Look) -> tuple[Floats, Scale]:
    """The values to colour, (blocks, K), and their scale."""
    shown = by_chunks(lambda rows: values(scores[rows], look.colour), *scores.shape)
    low, high = look.held or levels(shown, look.colour, look.clip)
    return shown, Scale(look.colour, low, high, look.log, look.colour_map)


def _summary(scores: Floats, shown: Floats, scale: Scale, look: Look) -> KeyedCodes:
    """Every block, (blocks,). What can only be on one side of 0 has a scale of that side."""
    lead = look.summary == "margin"
    source = scores if lead else shown
    summaries = by_chunks(lambda rows: summarise(source[rows], look.summary), *source.shape)
    low, high, colour = scale.low, scale.high, scale.colour
    if lead or (colour in SYMMETRIC and look.summary != "mean"):
        if lead or not look.held:
            high = levels(summaries[:, None], "margin", look.clip)[1]
        low, high = (-high, 0.0) if look.summary == "worst" else (0.0, high)
        colour = "score"
    scale = Scale(colour, low, high, look.log, look.colour_map, removed="")
    return KeyedCodes(quantise(summaries, low, high, look.log), scale)


def _in_rows(of_blocks: KeyedCodes, fold: Fold) -> KeyedCodes:
    """Codes of blocks as a picture, (outputs, blocks per output)."""
    codes = of_blocks.codes.reshape(fold.outputs, fold.blocks_per_row)
    return KeyedCodes(fixed(codes), of_blocks.scale)


def fixed(codes: Codes) -> Codes:
    """The same codes, made read-only: they go to another thread."""
    codes.flags.writeable = False
    return codes


def _scores(moment: LayerMoment) -> Floats:
    scores = moment.scores()
    if scores is not None:
        return scores
    # Without scores the winner is set off from the other live combinations.
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
    """One block of a layer; ``scores`` (blocks, C) if known. None if there is no such block."""
    if block is None or not 0 <= block < moment.blocks:
        return None
    rows = slice(block, block + 1)
    of_block = moment.scores(rows) if scores is None else scores[rows]
    if of_block is None:
        return None
    kept = moment.kept(rows)[0]
    return BlockState(block, moment.pattern, moment.block_weights, kept, of_block[0])
