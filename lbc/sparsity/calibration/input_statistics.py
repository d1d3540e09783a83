"""What solvers need to know of the inputs of a matrix product, summed as they come."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

import torch
from torch import Tensor

from lbc.sparsity.calibration.convolution_windows import Windows

PANEL = 256
"""Rows of the Gram matrix computed at a time; only what is right of the diagonal is."""


class InputStatistics:
    """Sums over the inputs x, of ``columns`` values each; no input is kept.

    ``squares`` is Σ x_j² and ``totals`` Σ x_j over all tokens, float64 (columns,), ``gram`` the
    matrix Σ x xᵀ, (columns, columns), if it was asked for. ``samples`` counts images or sequences,
    ``tokens`` their positions.
    """

    def __init__(
        self, columns: int, gram: bool, device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:  # fmt: skip
        self.samples = self.tokens = 0
        self.dtype = dtype
        self.squares = torch.zeros(columns, dtype=torch.float64, device=device)
        self.totals = torch.zeros_like(self.squares)
        self._scatter = torch.zeros_like(self.squares)
        self.has_gram = gram
        self._gram = torch.zeros((columns, columns), dtype=dtype, device=device) if gram else None

    @torch.no_grad()
    def add(self, samples: int, chunks: Iterable[Tensor | Windows]) -> None:
        """Add a batch of ``samples`` samples, given in chunks (tokens, columns).

        Windows are for a Gram matrix only.
        """
        squares, totals = self._squares_in_gram().neg(), torch.zeros_like(self.totals)
        count = 0
        for chunk in chunks:
            rows = chunk.to(self.dtype)
            count += len(rows)
            if self._gram is None:
                assert isinstance(rows, Tensor)
                sums = rows.sum(dim=0)
                squares += torch.linalg.vector_norm(rows, dim=0).double().square()
            elif isinstance(rows, Windows):
                sums = rows.add_products(self._gram)
            else:
                sums = rows.sum(dim=0)
                _add_products(self._gram, rows)
            totals += sums.double()
        squares += self._squares_in_gram()
        if count:
            self._scatter += squares - totals.square() / count
        self.squares += squares
        self.totals += totals
        self.samples += samples
        self.tokens += count

    def _squares_in_gram(self) -> Tensor:
        if self._gram is None:
            return torch.zeros_like(self.squares)
        return self._gram.diagonal().double()

    @property
    def finite(self) -> bool:
        return bool(self.squares.isfinite().all())

    @property
    def norms(self) -> Tensor:
        """‖x_j‖₂: (columns,)."""
        return self.squares.sqrt().to(self.dtype)

    @property
    def sums(self) -> Tensor:
        """DSnoT's s_j, the mean over samples of Σ x_j over their tokens: (columns,)."""
        return (self.totals / max(1, self.samples)).to(self.dtype)

    @property
    def variances(self) -> Tensor:
        """DSnoT's v_j, the mean of the variances within each batch, by tokens: (columns,)."""
        return (self._scatter / max(1, self.tokens)).clamp_min(0).to(self.dtype)

    @cached_property
    def gram(self) -> Tensor:
        """Σ x xᵀ: (columns, columns). Complete: nothing may be added afterwards."""
        gram = self._gram
        if gram is None:
            raise ValueError("These statistics were collected without the Gram matrix.")
        for first in range(0, len(gram), PANEL):
            last = first + PANEL
            gram[last:, first:last] = gram[first:last, last:].T
            corner = gram[first:last, first:last]
            corner.copy_(corner.triu() + corner.triu(1).T)
        self._gram = None
        return gram

    def output_energy(self, weight: Tensor) -> float:
        """‖W X‖² = tr(W G Wᵀ) of a weight W, (O, columns)."""
        gram, energy = self.gram, 0.0
        for first in range(0, len(gram), PANEL):
            right = weight[:, first:]
            product = right[:, :PANEL] @ gram[first : first + PANEL, first:]
            product[:, PANEL:] *= 2  # G is symmetric
            energy += float((product * right).sum(dtype=torch.float64))
        return energy


def _add_products(gram: Tensor, rows: Tensor) -> None:
    """Add the products of rows, (tokens, columns), from the diagonal to the right."""
    for first in range(0, len(gram), PANEL):
        panel = rows[:, first : first + PANEL]
        gram[first : first + PANEL, first:].addmm_(panel.T, rows[:, first:])
