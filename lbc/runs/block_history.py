"""The history of one block: its winners, live sets and scores, and every removal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from lbc.runs.events import Intervened, Intervention
from lbc.runs.history_codec import LARGEST_LIVE_COUNT
from lbc.runs.history_format import RecordedScores
from lbc.runs.run_state import Parent
from lbc.sparsity.arrays import Array, Bools, Bytes, Floats
from lbc.sparsity.combinations import unpack
from lbc.sparsity.pattern import Pattern


@dataclass(frozen=True)
class Removal:
    """A combination of one block was removed at a moment.

    ``rank`` among those live until then, 1 the best, and ``margin``, its score less that of the
    worst one kept; None if no scores were recorded at the moment. ``of`` counts those live until
    then. ``cause`` says what decided: the scores, or the user by a ban or a pin.
    """

    moment: int
    epoch: float
    combination: int
    rank: int | None
    margin: float | None
    of: int
    cause: Literal["score", "ban", "pin"] = "score"


@dataclass(frozen=True, eq=False)
class Biography:
    """One block over T moments.

    ``winners`` (T,); ``live`` bool (T, C), None above ``LARGEST_LIVE_COUNT``; ``mask`` bool (T, M).
    ``scores`` float32 (T, C): nan at moments without scores, and for combinations removed before
    the moment; ``position_scores`` float32 (T, M), nan likewise. None if never recorded.
    ``interventions`` are those that touched the block.
    """

    pattern: Pattern
    epochs: npt.NDArray[np.float64]
    winners: Array
    live: Bools | None
    mask: Bools
    scores: Floats | None
    position_scores: Floats | None
    removals: tuple[Removal, ...]
    interventions: tuple[Intervened, ...] = ()


@dataclass(frozen=True, eq=False)
class ParentLife:
    """The biography of the same block in the parent of a fork."""

    parent: Parent
    biography: Biography


@dataclass(frozen=True, eq=False)
class Life:
    """The biography of a block, with the layer and index of the block.

    ``weights`` (T', M) were observed at ``weight_epochs`` (T',); a history has none. ``other`` is
    None unless the run is a fork whose parent can be read.
    """

    layer: str
    block: int
    biography: Biography
    weight_epochs: npt.NDArray[np.floating] = field(default_factory=lambda: np.empty(0))
    weights: Floats = field(default_factory=lambda: np.empty((0, 0), np.float32))
    other: ParentLife | None = None


def biography(
    pattern: Pattern,
    epochs: npt.NDArray[np.float64],
    winners: Array,
    bits: Bytes,
    mask: Bools,
    kept: Mapping[int, RecordedScores],
    done: Sequence[Intervened] = (),
) -> Biography:
    """Combine one block's winners (T,), packed bits (T, bytes), mask (T, M), scores, interventions.

    ``kept`` maps moments to the scores of this block alone, ``done`` are its interventions.
    """
    live = unpack(bits, pattern.count) if pattern.count <= LARGEST_LIVE_COUNT else None
    scores = positions = None
    if any(one.by_position for one in kept.values()):
        positions = np.full((len(epochs), pattern.m), np.nan, np.float32)
        for moment, one in kept.items():
            positions[moment] = one.stored()[0]
    if kept and live is not None:
        scores = np.full((len(epochs), pattern.count), np.nan, np.float32)
        for moment, one in kept.items():
            before = live[moment - 1] if moment else live[0]
            scores[moment] = np.where(before | live[moment], one.by_combination()[0], np.nan)
    causes = {
        one.moment: one.intervention.action
        for one in done
        if isinstance(one.intervention, Intervention)
    }
    removals = () if live is None else tuple(_removals(epochs, live, scores, causes))
    return Biography(pattern, epochs, winners, live, mask, scores, positions, removals, tuple(done))


def _removals(
    epochs: npt.NDArray[np.float64],
    live: Bools,
    scores: Floats | None,
    causes: Mapping[int, Literal["ban", "pin"]],
) -> Iterator[Removal]:
    for moment in range(1, len(epochs)):
        before, now = live[moment - 1], live[moment]
        if (now & ~before).any():  # as under SR-STE: none is removed for good
            continue
        known = None if scores is None else scores[moment]
        for combination in np.flatnonzero(before & ~now).tolist():
            rank = margin = None
            if known is not None and not np.isnan(known[combination]):
                order = np.flatnonzero(before)
                order = order[np.argsort(-known[order], kind="stable")]
                rank = int(np.flatnonzero(order == combination)[0]) + 1
                margin = float(known[combination] - known[now].min())
            yield Removal(
                moment,
                float(epochs[moment]),
                combination,
                rank,
                margin,
                int(before.sum()),
                causes.get(moment, "score"),
            )
