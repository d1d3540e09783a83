"""The Gram matrix of a convolution's windows, without making the windows.

With a stride of 1 the product of two kernel positions, Σ_s x(s + p) x(s + q)ᵀ, is a sum over t =
s + p that depends on p only by its limits: a 3×3 kernel has 45 pairs of positions, but 13 different
q − p. The images are divided into cells such that all pairs include a cell completely or not at
all, and the product of a cell with itself moved by q − p is added to all pairs that include it.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations_with_replacement, pairwise, product

import torch
from torch import Tensor

Position = tuple[int, ...]
Cell = tuple[tuple[int, int], ...]
"""First position and end along each axis."""


@dataclass(frozen=True)
class Windows:
    """All windows, at a stride of 1, of padded images (B, *size, C)."""

    images: Tensor
    kernel: Position
    dilation: Position

    def __len__(self) -> int:
        return int(torch.Size([len(self.images), *self._outputs]).numel())

    def to(self, dtype: torch.dtype) -> Windows:
        return Windows(self.images.to(dtype), self.kernel, self.dilation)

    @property
    def _outputs(self) -> Position:
        sizes = zip(self.images.shape[1:-1], self.kernel, self.dilation, strict=True)
        return tuple(size - dilation * (kernel - 1) for size, kernel, dilation in sizes)

    def add_products(self, gram: Tensor) -> Tensor:
        """Add Σ x xᵀ, on and right of the diagonal, and return Σ x; x are (positions × C)."""
        width = self.images.shape[-1]
        starts = [
            range(0, kernel * dilation, dilation)
            for kernel, dilation in zip(self.kernel, self.dilation, strict=True)
        ]
        positions = list(product(*starts))
        parts = [(self._rows(cell), cell, at) for cell, at in cells(positions, self._outputs)]
        parts = [(rows, cell, at) for rows, cell, at in parts if rows.any()]  # others are padding
        sums = self.images.new_zeros(len(positions), width)
        for rows, _, inside in parts:
            sums[inside] += rows.sum(dim=0)
        for offset, of in pairs_by_offset(positions).items():
            used = [part for part in parts if any(i in part[2] for i, _ in of)]
            products = [rows.T @ self._rows(cell, offset) for rows, cell, _ in used]
            shares = sums.new_tensor([[i in inside for _, _, inside in used] for i, _ in of])
            if used:
                found = shares @ torch.stack(products).flatten(1)
                for (i, j), block in zip(of, found.view(-1, width, width), strict=True):
                    gram[i * width :, j * width :][:width, :width] += block
        return sums.flatten()

    def _rows(self, cell: Cell, offset: Position | None = None) -> Tensor:
        """The values in a cell that is moved by ``offset``: (B × positions, C)."""
        images = self.images
        for axis, (first, end) in enumerate(cell):
            moved = offset[axis] if offset else 0
            images = images.narrow(axis + 1, first + moved, end - first)
        return images.reshape(-1, images.shape[-1])


def pairs_by_offset(positions: list[Position]) -> dict[Position, list[tuple[int, int]]]:
    """The pairs (i, j), i ≤ j, of positions by what has to be added to i to come to j."""
    pairs: dict[Position, list[tuple[int, int]]] = defaultdict(list)
    for (i, one), (j, other) in combinations_with_replacement(enumerate(positions), 2):
        pairs[tuple(b - a for a, b in zip(one, other, strict=True))].append((i, j))
    return pairs


def cells(positions: list[Position], outputs: Position) -> list[tuple[Cell, list[int]]]:
    """The cells that windows from ``positions``, ``outputs`` long, consist of.

    With the indices of the positions whose windows include the cell.
    """
    axes = [
        pairwise(sorted({start + end for start in starts for end in (0, length)}))
        for starts, length in zip(zip(*positions, strict=True), outputs, strict=True)
    ]
    found = []
    for cell in product(*axes):
        inside = [
            i
            for i, position in enumerate(positions)
            if all(
                start <= first and end <= start + length
                for start, length, (first, end) in zip(position, outputs, cell, strict=True)
            )
        ]
        if inside:
            found.append((cell, inside))
    return found
