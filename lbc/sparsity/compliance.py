"""Does a weight keep its N:M pattern, and where is the first block that does not?"""

from __future__ import annotations

from dataclasses import dataclass

from lbc.sparsity.arrays import ArrayOrTensor, as_array
from lbc.sparsity.blocks import Index, block_coordinates
from lbc.sparsity.combinations import kept_of, row_counts
from lbc.sparsity.pattern import Pattern


@dataclass(frozen=True)
class Violation:
    """A block that keeps more than N weights, or than N / width groups, and where its weights are.

    ``kept`` counts the weights that are not zero.
    """

    block: int
    kept: int
    coordinates: tuple[Index, ...]


@dataclass(frozen=True)
class Check:
    """What a weight holds: ``density`` is the share of non-zeros, ``violations`` counts blocks."""

    valid: bool
    density: float
    violations: int
    first: Violation | None


def check(weight: ArrayOrTensor, pattern: Pattern) -> Check:
    """Count the blocks of a weight (O, I, *kernel) that keep more than N weights.

    Of a pattern with groups, a group is kept if any of its weights is. NaN is not zero, so it
    counts as kept. A weight without elements is valid, of density 0.

    Raises ValueError where the input width is not a multiple of M.
    """
    nonzero = as_array(weight != 0)
    if not nonzero.size:
        return Check(valid=True, density=0.0, violations=0, first=None)
    kept = pattern.to_blocks(nonzero)
    over = kept_of(kept, pattern) > pattern.n
    density = int(row_counts(kept).sum()) / kept.size
    if not over.any():
        return Check(valid=True, density=density, violations=0, first=None)
    block = int(over.argmax())
    places = block_coordinates(tuple(weight.shape), pattern, block)
    coordinates = tuple(places[j] for j in kept[block].nonzero()[0].tolist())
    first = Violation(block, len(coordinates), coordinates)
    return Check(valid=False, density=density, violations=int(over.sum()), first=first)
