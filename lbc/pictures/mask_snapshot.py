"""From one or two moments of a layer to what the Masks page shows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lbc.pictures.layer_moment import Watch
from lbc.pictures.mask_colours import (
    Coloured,
    best_combinations,
    mask_alone,
    mask_difference,
    signed,
    sizes,
    values_between,
)
from lbc.pictures.mask_facts import MaskFacts, mask_facts
from lbc.pictures.mask_numbers import MaskNumbers, count_mask
from lbc.pictures.score_codes import Fold
from lbc.pictures.score_snapshot import (
    BlockState,
    Drawn,
    KeyedCodes,
    ViewRequest,
    block_state,
    fixed,
)
from lbc.runs.history_walks import RemovalTimes
from lbc.runs.layer_moment import LayerMoment, LayerState
from lbc.sparsity.arrays import Bools, Floats, Indices
from lbc.sparsity.combinations import members_mask
from lbc.sparsity.pattern import Pattern

Show = Literal["weights", "sizes", "beta", "mask", "best", "magnitude", "method"]
"""What to draw of a layer: its weights, |w|, what each position has gained, its mask, the best
combinations, where the mask differs from the choice by magnitude, or a picture of its method."""

Against = int | Path | None
"""What to compare a mask with: a moment of the same run, or another run by its folder."""

WEIGHTS_GONE = "A run keeps the weights of its last checkpoint only: the mask alone is shown."
MASKS_DIFFER = "What is drawn is the difference between the masks."

OF_MOMENTS = ("in both", "only then", "only now", "in neither")
OF_RUNS = ("in both", "only there", "only here", "in neither")
OF_MAGNITUDE = ("both keep", "only |w| keeps", "only mask keeps", "neither")


@dataclass(frozen=True)
class MaskRequest(ViewRequest):
    """What the Masks page shows of a layer, compared with what, and whether ``beside`` it.
    ``picture`` is the label of the method's picture, if that is shown.

    Otherwise a comparison shows the difference.
    """

    show: Show = "weights"
    picture: str = ""
    against: Against = None
    beside: bool = False

    @property
    def watch(self) -> Watch:
        weights = self.show in ("weights", "sizes", "magnitude")
        return Watch(self.layer, self.block, weights, self.picture)


@dataclass(frozen=True)
class Reference:
    """What a mask is compared with, or a sentence on why there is nothing to compare."""

    moment: LayerMoment | None = None
    problem: str = ""


@dataclass(frozen=True)
class Sheet(Drawn):
    """One layer at one moment, by blocks, and its picture, one cell per weight in its own order.

    ``beta`` is what training has added to each position's share of the scores; ``best`` are the
    best combinations; ``picture`` the values of the method's picture that ``picture_label`` names.
    These and ``weights`` are None where unknown.
    """

    epoch: float
    pattern: Pattern
    shape: tuple[int, ...]
    kept: Bools
    weights: Floats | None
    beta: Floats | None
    best: Indices | None
    picture: Floats | None = None
    picture_label: str = ""


@dataclass(frozen=True)
class MaskSnapshot:
    """The open layer's mask; ``note`` says what cannot be shown, and what is shown instead.

    ``gone`` says when positions were removed, as far as the history has been read. ``pictures`` are
    the labels of those that the method has of the layer.
    """

    request: MaskRequest
    epoch: float
    pattern: Pattern
    shape: tuple[int, ...]
    sheet: Sheet
    beside: Sheet | None
    other_epoch: float | None
    numbers: MaskNumbers
    note: str
    block: BlockState | None
    layers: tuple[LayerState, ...]
    gone: RemovalTimes | None = None
    pictures: tuple[str, ...] = ()


def draw_mask(
    moment: LayerMoment, request: MaskRequest, reference: Reference | None = None
) -> MaskSnapshot:
    """Everything the Masks page shows of ``moment``, compared with ``reference``."""
    now = mask_facts(moment)
    reference = reference or Reference()
    then = None if reference.moment is None else mask_facts(reference.moment)
    notes = [reference.problem] if reference.problem else []
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
        numbers=count_mask(now, then),
        note=" ".join(notes),
        block=block_state(moment, request.block),
        layers=moment.layers,
        pictures=moment.pictures,
    )


def _alone(facts: MaskFacts, show: Show, like: Coloured | None = None) -> tuple[Coloured, str]:
    """The picture of one moment, and a sentence if it is not what was requested."""
    kept, pattern = facts.kept, facts.moment.pattern
    match show:
        case "weights" if facts.weights is not None:
            return signed(facts.weights, kept, like), ""
        case "sizes" if facts.weights is not None:
            return sizes(facts.weights, kept, like), ""
        case "magnitude" if facts.by_magnitude is not None:
            return mask_difference(facts.by_magnitude, kept, OF_MAGNITUDE), ""
        case "beta" if facts.beta is not None:
            return signed(facts.beta, kept, like), ""
        case "best" if facts.best is not None:
            return best_combinations(facts.best, pattern), ""
        case "method" if facts.picture is not None and facts.moment.picture_facts is not None:
            shown = facts.moment.picture_facts
            return values_between(shown.low, shown.high, facts.picture), shown.caption
    notes: dict[Show, str] = {
        "mask": "",
        "method": "Only a run in training has this picture, as it is now, and not of every layer: "
        "the mask alone is shown.",
        "beta": "No scores are kept of this moment: the mask alone is shown.",
        "best": f"While {pattern.count:,} combinations compete, the best of them are not computed: "
        "the mask alone is shown.",
    }
    return mask_alone(kept), notes.get(show, WEIGHTS_GONE)


def _between(then: MaskFacts, now: MaskFacts, request: MaskRequest) -> tuple[Coloured, str]:
    """What differs between two moments, and a sentence if it is not what was requested."""
    names = OF_RUNS if isinstance(request.against, Path) else OF_MOMENTS
    pattern = now.moment.pattern
    match request.show:
        case "beta" if now.beta is not None and then.beta is not None:
            return signed(now.beta - then.beta, now.kept), ""
        case "best" if now.best is not None and then.best is not None:
            before, after = members_mask(then.best, pattern), members_mask(now.best, pattern)
            return mask_difference(before, after, names), ""
    note = "" if request.show in ("mask", "best") else MASKS_DIFFER
    return mask_difference(then.kept, now.kept, names), note


def _sheet(facts: MaskFacts, coloured: Coloured) -> Sheet:
    moment = facts.moment
    fold = Fold(moment.shape[0], moment.blocks, moment.pattern.m, in_row=True)
    blocks = coloured.blocks.reshape(fold.outputs, fold.blocks_per_row)
    return Sheet(
        layer=moment.name,
        epoch=moment.epoch,
        pattern=moment.pattern,
        shape=moment.shape,
        kept=facts.kept,
        weights=facts.weights,
        beta=facts.beta,
        best=facts.best,
        picture=facts.picture,
        picture_label=moment.picture_facts.label if moment.picture_facts else "",
        fold=fold,
        cells=KeyedCodes(fixed(fold.apply(coloured.cells)), coloured.key),
        summary=KeyedCodes(fixed(blocks), coloured.blocks_key),
        reduction=coloured.reduction,
    )
