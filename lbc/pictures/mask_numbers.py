"""What is said of a mask in numbers, as ``lbc.sparsity.mask_statistics`` counts it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lbc.pictures.mask_codes import Indices
from lbc.pictures.mask_facts import Known
from lbc.pictures.score_snapshot import LARGEST_DRAWN_COUNT
from lbc.sparsity.pattern import Pattern

if TYPE_CHECKING:  # torch takes seconds to load, and the window is on screen meanwhile
    from torch import Tensor

    from lbc.sparsity.mask_statistics import Agreement, Flips


@dataclass(frozen=True)
class Histogram:
    """How many blocks each combination has won, (C,), or, ``by_position``, in how many the winner
    holds each position, (M,); beside it the mean and deviation of winners drawn at random."""

    counts: npt.NDArray[np.int64]
    by_position: bool
    expected: float
    deviation: float


@dataclass(frozen=True)
class Numbers:
    """Of one layer: the share that is kept, output and input channels that keep nothing, winners,
    and how far its mask is that of magnitude, or of what it is compared with. None where unknown.

    ``changed`` is the share of the blocks whose best combination is another. What chance would give
    means something only once every mask is ``decided``.
    """

    density: float
    decided: bool
    dead_outputs: tuple[int, ...]
    dead_inputs: tuple[int, ...]
    winners: Histogram | None
    magnitude: Agreement | None
    flips: Flips | None
    agreement: Agreement | None
    changed: float | None


def count(now: Known, other: Known | None = None) -> Numbers:
    """Count everything about a mask, and about it and another one."""
    from lbc.sparsity import mask_statistics as statistics

    pattern = now.moment.pattern
    mask, kept = _tensor(now.moment.mask), _tensor(now.kept)
    before = None if other is None else _tensor(other.moment.mask)
    changed = magnitude = None
    if other is not None and now.best is not None and other.best is not None:
        changed = float((now.best != other.best).mean())
    if now.by_magnitude is not None:
        magnitude = statistics.agreement(kept, _tensor(now.by_magnitude), pattern)
    return Numbers(
        density=float(now.moment.mask.mean()),
        decided=all(_decided(one) for one in (now, other) if one is not None),
        dead_outputs=tuple(statistics.dead_outputs(mask).tolist()),
        dead_inputs=tuple(statistics.dead_inputs(mask).tolist()),
        winners=None if now.best is None else histogram(now.best, pattern),
        magnitude=magnitude,
        flips=None if before is None else statistics.flips(before, mask),
        agreement=None if before is None else statistics.agreement(before, mask, pattern),
        changed=changed,
    )


def _decided(known: Known) -> bool:
    return int(known.kept.sum()) == len(known.kept) * known.moment.pattern.n


def histogram(best: Indices, pattern: Pattern) -> Histogram:
    """Of combinations where a block's can be drawn one by one, else of positions."""
    from lbc.sparsity.mask_statistics import kept_at_positions, uniform_expectation, winner_counts

    counts = winner_counts(_tensor(best), pattern)
    if pattern.count <= LARGEST_DRAWN_COUNT:
        return Histogram(counts.numpy(), False, *uniform_expectation(len(best), pattern))
    share = pattern.density
    return Histogram(
        kept_at_positions(counts, pattern).numpy(),
        True,
        len(best) * share,
        (len(best) * share * (1 - share)) ** 0.5,
    )


def _tensor(array: npt.NDArray[Any]) -> Tensor:
    import torch

    return torch.tensor(array)  # a copy: what is read-only cannot be shared
