"""Does a weight keep its N:M pattern, and where is the first block that does not?"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from lbc.sparsity.pattern import Pattern

if TYPE_CHECKING:
    from torch import Tensor

Index = tuple[int, ...]
"""The place of one weight in its tensor: (o, i) or (o, i, kh, kw)."""


@dataclass(frozen=True)
class Violation:
    """A block that keeps more than N weights, and where those weights are."""

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


def check(weight: Tensor, pattern: Pattern) -> Check:
    """Count the blocks of a weight (O, I, *kernel) that keep more than N weights.

    NaN is not zero, so it counts as kept. A weight without elements is valid, of density 0.

    Raises ValueError where the input width is not a multiple of M.
    """
    if weight.numel() == 0:
        return Check(valid=True, density=0.0, violations=0, first=None)
    kept = pattern.to_blocks(weight != 0)
    counts = kept.sum(dim=1)
    over = counts > pattern.n
    violations = int(over.sum())
    density = int(counts.sum()) / weight.numel()
    if not violations:
        return Check(valid=True, density=density, violations=0, first=None)
    block = int(over.int().argmax())
    places = block_coordinates(tuple(weight.shape), pattern, block)
    coordinates = tuple(places[j] for j in kept[block].nonzero().flatten().tolist())
    first = Violation(block, len(coordinates), coordinates)
    return Check(valid=False, density=density, violations=violations, first=first)


def block_coordinates(shape: tuple[int, ...], pattern: Pattern, block: int) -> tuple[Index, ...]:
    """The M places, in a weight of ``shape``, that row ``block`` of ``Pattern.to_blocks`` holds.

    Raises ValueError where the shape has no such blocks, IndexError where it has fewer.
    """
    blocks = prod(shape) // pattern.input_width(shape) * (shape[1] // pattern.m)
    if not 0 <= block < blocks:
        raise IndexError(f"There is no block {block}: a weight of shape {shape} has {blocks}.")
    row, group = divmod(block, prod(shape[1:]) // pattern.m)
    start = group * pattern.m
    return tuple(weight_place(shape, row, column) for column in range(start, start + pattern.m))


def weight_place(shape: tuple[int, ...], row: int, column: int) -> Index:
    """The place of a weight, in a tensor of ``shape``, that stands in a row of blocks.

    Rows are output channels; along a row stand kernel positions, and within each its inputs.
    """
    _, width, *kernel = shape
    rest, i = divmod(column, width)
    place: list[int] = []
    for size in reversed(kernel):
        rest, offset = divmod(rest, size)
        place.insert(0, offset)
    return (row, i, *place)
