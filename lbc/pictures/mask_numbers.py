"""The figures of one layer's mask, alone and compared with another."""

from __future__ import annotations

from dataclasses import dataclass

from lbc.pictures.mask_facts import MaskFacts
from lbc.pictures.score_snapshot import LARGEST_DRAWN_COUNT
from lbc.sparsity.arrays import Indices
from lbc.sparsity.mask_statistics import (
    Agreement,
    Flips,
    agreement,
    dead_inputs,
    dead_outputs,
    flips,
    kept_at_positions,
    uniform_expectation,
    winner_counts,
)
from lbc.sparsity.pattern import Pattern


@dataclass(frozen=True)
class Histogram:
    """How many blocks each combination has won, (C,), or, if ``by_position``, in how many the
    winner holds each position, (M,); and the mean and deviation for winners drawn at random."""

    counts: Indices
    by_position: bool
    expected: float
    deviation: float


@dataclass(frozen=True)
class MaskNumbers:
    """Of one layer: the share of weights kept, dead output and input channels, winners, and how far
    its mask agrees with that of magnitude and with the reference. None where unknown.

    ``changed`` is the share of blocks whose best combination differs from the reference's. What
    chance would give is meaningful only once every mask is ``decided``.
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


def count_mask(now: MaskFacts, reference: MaskFacts | None = None) -> MaskNumbers:
    """Count everything about a mask, and its differences from a reference."""
    pattern, mask = now.moment.pattern, now.moment.mask
    before = None if reference is None else reference.moment.mask
    changed = magnitude = None
    if reference is not None and now.best is not None and reference.best is not None:
        changed = float((now.best != reference.best).mean())
    if now.by_magnitude is not None:
        magnitude = agreement(now.kept, now.by_magnitude, now.obeyed)
    return MaskNumbers(
        density=float(mask.mean()),
        decided=all(_decided(one) for one in (now, reference) if one is not None),
        dead_outputs=tuple(dead_outputs(mask).tolist()),
        dead_inputs=tuple(dead_inputs(mask).tolist()),
        winners=None if now.best is None else histogram(winner_counts(now.best, pattern), pattern),
        magnitude=magnitude,
        flips=None if before is None else flips(before, mask),
        agreement=None if before is None else agreement(before, mask, pattern),
        changed=changed,
    )


def _decided(facts: MaskFacts) -> bool:
    return int(facts.kept.sum()) == len(facts.kept) * facts.moment.pattern.n


def histogram(counts: Indices, pattern: Pattern) -> Histogram:
    """Of ``winner_counts``, (C,): by combination, or by position if those are too many to draw."""
    blocks = int(counts.sum())
    if pattern.count <= LARGEST_DRAWN_COUNT:
        return Histogram(counts, False, *uniform_expectation(blocks, pattern))
    expected = blocks * pattern.density
    deviation = (expected * (1 - pattern.density)) ** 0.5
    return Histogram(kept_at_positions(counts, pattern), True, expected, deviation)
