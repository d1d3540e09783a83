"""Where a block lies in its weight."""

from __future__ import annotations

from math import prod

import numpy as np

from lbc.sparsity.pattern import Pattern

Index = tuple[int, ...]
"""The place of one weight in its tensor: (o, i) or (o, i, kh, kw)."""


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
    """The place, in a tensor of ``shape``, of a weight in a row of blocks.

    Rows are output channels; along a row come the kernel positions, and in each its inputs.
    """
    _, width, *kernel = shape
    *place, i = (int(at) for at in np.unravel_index(column, (*kernel, width)))
    return (row, i, *place)
