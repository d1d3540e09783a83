"""From one or two moments of a layer to what the Masks page shows. Runs in the drawing thread."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lbc.pictures.colour_keys import Key
from lbc.pictures.layer_moment import LayerMoment, LayerState, Watch
from lbc.pictures.level_of_detail import Reduction
from lbc.pictures.mask_codes import Flags, Indices, held
from lbc.pictures.mask_colours import (
    Coloured,
    best_combinations,
    difference,
    mask_alone,
    signed,
    sizes,
)
from lbc.pictures.mask_facts import Known, known_of
from lbc.pictures.mask_numbers import Numbers, count
from lbc.pictures.score_codes import Floats, Fold
from lbc.pictures.score_snapshot import BlockState, Look, Picture, ViewRequest, block_state, fixed
from lbc.runs.history_walks import Gone
from lbc.sparsity.pattern import Pattern

Show = Literal["weights", "sizes", "beta", "mask", "best", "magnitude"]
"""What of a layer is drawn: its weights, |w|, what each position has gained, its mask, the best
combinations, or where the mask is not what magnitude would have chosen."""

Against = int | Path | None
"""What a mask is compared with: a moment of the same run, or another run by its folder."""

WEIGHTS_GONE = "A run keeps the weights of its last checkpoint only: the mask alone is shown."
MASKS_DIFFER = "What is drawn is the difference between the masks."

OF_MOMENTS = ("in both", "only then", "only now", "in neither")
OF_RUNS = ("in both", "only there", "only here", "in neither")
OF_MAGNITUDE = ("both keep", "only |w| keeps", "only mask keeps", "neither")


@dataclass(frozen=True)
class MaskRequest:
    """What the Masks page is looking at: the layer, block and moment of ``view``, and how.

    What it is compared with is shown as a difference, or ``beside`` it.
    """

    view: ViewRequest
    show: Show = "weights"
    against: Against = None
    beside: bool = False

    @property
    def layer(self) -> str:
        return self.view.layer

    @property
    def look(self) -> Look:
        return self.view.look

    @property
    def block(self) -> int | None:
        return self.view.block

    @property
    def moment(self) -> int | None:
        return self.view.moment

    @property
    def watch(self) -> Watch:
        weights = self.show in ("weights", "sizes", "magnitude")
        return Watch(self.layer, self.block, weights)


@dataclass(frozen=True)
class Other:
    """What a mask is compared with, or a sentence why it cannot be."""

    moment: LayerMoment | None = None
    problem: str = ""


@dataclass(frozen=True)
class Sheet:
    """One layer at one moment, by blocks, and its picture, one cell per weight in its own order.

    ``beta`` is what training has added to each position's share of the scores; ``best`` are the
    best combinations. Both, and ``weights``, are None where they are not known.
    """

    layer: str
    epoch: float
    pattern: Pattern
    shape: tuple[int, ...]
    kept: Flags
    weights: Floats | None
    beta: Floats | None
    best: Indices | None
    fold: Fold
    cells: Picture[Key]
    summary: Picture[Key]
    reduction: Reduction
    cell_pixels: int = 1


@dataclass(frozen=True)
class MaskSnapshot:
    """The open layer's mask; ``note`` says what could not be shown, and what is shown instead.

    ``gone`` says when positions were removed, as far as the history was read.
    """

    request: MaskRequest
    epoch: float
    pattern: Pattern
    shape: tuple[int, ...]
    sheet: Sheet
    beside: Sheet | None
    other_epoch: float | None
    numbers: Numbers
    note: str
    block: BlockState | None
    layers: tuple[LayerState, ...]
    gone: Gone | None = None


def draw_mask(
    moment: LayerMoment, request: MaskRequest, other: Other | None = None
) -> MaskSnapshot:
    """Everything the Masks page shows of ``moment``, held against ``other``."""
    now = known_of(moment)
    then = known_of(other.moment) if other is not None and other.moment is not None else None
    notes = [other.problem] if other is not None and other.problem else []
    beside: Sheet | None = None
    if then is None or request.beside:
        coloured, note = _alone(now, request.show)
        notes += [note] if note else []
        if then is not None:
            again, note = _alone(then, request.show, coloured)
            notes += [f"Beside it: {note}"] if note and note not in notes else []
            beside = _sheet(then, again)
    else:
        coloured, note = _between(then, now, request)
        notes += [note] if note else []
    return MaskSnapshot(
        request=request,
        epoch=moment.epoch,
        pattern=moment.pattern,
        shape=moment.shape,
        sheet=_sheet(now, coloured),
        beside=beside,
        other_epoch=None if then is None else then.moment.epoch,
        numbers=count(now, then),
        note=" ".join(notes),
        block=block_state(moment, request.block),
        layers=moment.layers,
    )


def _alone(known: Known, show: Show, like: Coloured | None = None) -> tuple[Coloured, str]:
    """The picture of one moment, and a sentence where it is not what was asked for."""
    kept = known.kept
    match show:
        case "weights" | "sizes" | "magnitude" if known.weights is None:
            return mask_alone(kept), WEIGHTS_GONE
        case "weights":
            assert known.weights is not None
            return signed(known.weights, kept, like), ""
        case "sizes":
            assert known.weights is not None
            return sizes(known.weights, kept, like), ""
        case "magnitude":
            assert known.by_magnitude is not None
            return difference(known.by_magnitude, kept, OF_MAGNITUDE), ""
        case "beta" if known.beta is not None:
            return signed(known.beta, kept, like), ""
        case "best" if known.best is not None:
            pattern = known.moment.pattern
            return best_combinations(known.best, held(known.best, pattern), pattern), ""
        case "beta":
            return mask_alone(kept), "No scores are kept of this moment: the mask alone is shown."
        case "best":
            return mask_alone(kept), (
                f"While {known.moment.count:,} combinations are in the running the best of them "
                "are not looked for: the mask alone is shown."
            )
    return mask_alone(kept), ""


def _between(then: Known, now: Known, request: MaskRequest) -> tuple[Coloured, str]:
    """What differs between two moments, and a sentence where it is not what was asked for."""
    names = OF_RUNS if isinstance(request.against, Path) else OF_MOMENTS
    pattern = now.moment.pattern
    match request.show:
        case "beta" if now.beta is not None and then.beta is not None:
            return signed(now.beta - then.beta, now.kept), ""
        case "best" if now.best is not None and then.best is not None:
            return difference(held(then.best, pattern), held(now.best, pattern), names), ""
    note = "" if request.show in ("mask", "best") else MASKS_DIFFER
    return difference(then.kept, now.kept, names), note


def _sheet(known: Known, coloured: Coloured) -> Sheet:
    moment = known.moment
    fold = Fold(moment.shape[0], moment.blocks, moment.pattern.m, in_row=True)
    blocks = coloured.blocks.reshape(fold.outputs, fold.blocks_per_row)
    return Sheet(
        layer=moment.name,
        epoch=moment.epoch,
        pattern=moment.pattern,
        shape=moment.shape,
        kept=known.kept,
        weights=known.weights,
        beta=known.beta,
        best=known.best,
        fold=fold,
        cells=Picture(fixed(fold.apply(coloured.cells)), coloured.key),
        summary=Picture(fixed(blocks), coloured.blocks_key),
        reduction=coloured.reduction,
    )
