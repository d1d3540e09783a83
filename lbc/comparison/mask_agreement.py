"""How far the masks of many runs agree, pair by pair, corrected for chance."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lbc.comparison.run_masks import LayerMask, RunMasks, Words
from lbc.sparsity.arrays import Indices

Matrix = npt.NDArray[np.float64]

CHUNK_WORDS = 512
"""Words of every mask compared at a time: those of 100 masks fit into a processor's cache."""


@dataclass(frozen=True, eq=False)
class MaskAgreement:
    """Cohen's κ of every pair of R runs, (R, R), NaN where it is undefined or nothing is shared.

    ``whole`` counts the layers that both runs of a pair have in the same shape; ``shared`` (R, R)
    says how many those are, and ``layers`` has each layer's own κ. ``alike`` and ``chance`` (R, R)
    are p_o and p_e of ``whole``.

    For two masks of n weights that keep shares a and b of them and treat a share p_o alike,

        κ = (p_o − p_e) / (1 − p_e),    p_e = a · b + (1 − a) · (1 − b)

    (Cohen, 1960). p_e is what two masks would reach that choose independently: if each draws N of
    every M positions at random, a position is kept by both with probability (N / M)², whatever
    the block, so for N:M against N:M p_e = d² + (1 − d)² and κ = 1 − (1 − p_o) / (2 d (1 − d))
    with d = N / M. κ is 1 for equal masks, 0 on average for independent ones, and at the least
    −min(d / (1 − d), (1 − d) / d). Masks of different density cannot reach 1. It is undefined
    where p_e is 1: both keep everything, or both nothing.

    Over several layers p_o and p_e are means weighted by the layers' sizes. Chance is thus counted
    within layers: that both runs prune the same layers more is no agreement of their masks.
    """

    whole: Matrix
    layers: Mapping[str, Matrix]
    shared: Indices
    alike: Matrix
    chance: Matrix


def compare_masks(
    runs: Sequence[RunMasks], progress: Callable[[float], object] = lambda share: None
) -> MaskAgreement:
    """The agreement of every pair of runs, over the layers that both have in the same shape.

    ``progress`` receives the completed fraction, 0 to 1; what it raises ends the comparison. For R
    runs that takes R² / 2 passes over a mask's bits, and memory for R × ``CHUNK_WORDS`` words.
    """
    count = len(runs)
    alike, chance = np.zeros((count, count)), np.zeros((count, count))
    sizes, shared = np.zeros((count, count)), np.zeros((count, count), np.int64)
    layers: dict[str, Matrix] = {}
    names = list(dict.fromkeys(name for run in runs for name in run.layers))
    total = sum(mask.size for run in runs for mask in run.layers.values())
    done = 0
    for name in names:
        layers[name] = np.full((count, count), np.nan)
        for at in _by_shape(runs, name):
            masks = [runs[k].layers[name] for k in at]
            size = masks[0].size
            equal, expected = _equal_and_expected(masks)
            where = np.ix_(at, at)
            layers[name][where] = _kappa(equal, expected)
            alike[where] += size * equal
            chance[where] += size * expected
            sizes[where] += size
            shared[where] += 1
            done += size * len(at)
            progress(done / total)
    with np.errstate(invalid="ignore"):
        alike, chance = alike / sizes, chance / sizes
    return MaskAgreement(_kappa(alike, chance), layers, shared, alike, chance)


def fold_seeds(matrix: Matrix, kinds: Sequence[object], seeds: Sequence[int | None]) -> Matrix:
    """The mean of a matrix of runs (R, R) for each pair of the K kinds of runs (K, K).

    Only runs of one seed are paired, so that both began with the same weights. On the diagonal,
    where a run would be paired with itself, are the pairs of a kind's seeds. ``kinds`` has the kind
    of each run, and the result their order; NaN where there is no pair.
    """
    order = {kind: at for at, kind in enumerate(dict.fromkeys(kinds))}
    of_kind = np.eye(len(order))[[order[kind] for kind in kinds]]
    same_seed = np.array([[one == other for other in seeds] for one in seeds], bool)
    same_kind = of_kind @ of_kind.T > 0
    pairs = (same_seed != same_kind) & np.isfinite(matrix)
    sums = of_kind.T @ np.where(pairs, matrix, 0.0) @ of_kind
    with np.errstate(invalid="ignore"):
        folded: Matrix = sums / (of_kind.T @ pairs @ of_kind)
    return folded


def _by_shape(runs: Sequence[RunMasks], name: str) -> Iterable[list[int]]:
    """The runs that have a layer, those with one shape of it together."""
    found: dict[tuple[int, ...], list[int]] = {}
    for at, run in enumerate(runs):
        if (mask := run.layers.get(name)) is not None:
            found.setdefault(mask.shape, []).append(at)
    return found.values()


def _equal_and_expected(masks: Sequence[LayerMask]) -> tuple[Matrix, Matrix]:
    """The shares of equal positions p_o and those expected by chance p_e, each (R, R)."""
    size = masks[0].size
    both = _overlaps([mask.bits for mask in masks])
    kept = np.diagonal(both)
    equal = (size - kept[:, None] - kept + 2 * both) / size
    density = kept / size
    return equal, np.outer(density, density) + np.outer(1 - density, 1 - density)


def _overlaps(bits: Sequence[Words]) -> Indices:
    """How many bits each pair has in common: (R, R)."""
    count = len(bits)
    both = np.zeros((count, count), np.int64)
    for first in range(0, len(bits[0]), CHUNK_WORDS):
        some = np.stack([one[first : first + CHUNK_WORDS] for one in bits])
        common, ones = np.empty_like(some), np.empty(some.shape, np.uint8)
        for k in range(count):
            np.bitwise_and(some[k], some[k:], out=common[k:])
            np.bitwise_count(common[k:], out=ones[k:])
            both[k, k:] += ones[k:].sum(axis=1, dtype=np.int64)
    return both + np.triu(both, 1).T


def _kappa(equal: Matrix, expected: Matrix) -> Matrix:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(expected < 1, (equal - expected) / (1 - expected), np.nan)
