"""SparseGPT: prune the columns from left to right and let the rest make up for each.

Frantar, Alistarh, "SparseGPT: Massive Language Models Can Be Accurately Pruned in One-Shot", ICML
2023. With H = X Xᵀ + damping · mean(diag) · I and H⁻¹ = Uᵀ U, U upper triangular, a pruned weight
w_j costs (w_j / U_jj)², and the columns to its right change by −(w_j / U_jj) U_j,:. The mask of a
block is chosen when its first column is reached.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lbc.sparsity.calibration.input_statistics import InputStatistics
from lbc.sparsity.calibration.solution import Progress, Solution, ignore_progress, keep_largest
from lbc.sparsity.pattern import Pattern

LAZY_COLUMNS = 128
"""Columns updated at once, after which all others are: the paper's block size."""

LEAF = 256
"""Size up to which a triangle is inverted at once."""


def solve(
    weight: Tensor,
    statistics: InputStatistics,
    pattern: Pattern,
    progress: Progress = ignore_progress,
    damping: float = 0.01,
) -> Solution:
    """Mask and updated weight for W, (O, columns).

    Columns whose input is always zero become zero. ``damping`` grows tenfold as often as H is not
    positive definite in the arithmetic of the weights.
    """
    factor = inverse_factor(statistics.gram, damping)
    left = weight.T.clone()  # (columns, O): a column is contiguous
    left[statistics.gram.diagonal() == 0] = 0
    mask = torch.zeros_like(left, dtype=torch.bool)
    width = max(pattern.m, LAZY_COLUMNS // pattern.m * pattern.m)
    for first in range(0, len(left), width):
        last = min(first + width, len(left))
        triangle = factor[first:last, first:last]
        errors = _prune_columns(left[first:last], mask[first:last], triangle, pattern)
        left[last:].addmm_(factor[first:last, last:].T, errors, alpha=-1)
        progress(last / len(left))
    return Solution(mask.T.contiguous(), (left * mask).T.contiguous())


def _prune_columns(left: Tensor, mask: Tensor, factor: Tensor, pattern: Pattern) -> Tensor:
    """Prune some columns in place, and return the errors that the columns after them correct."""
    errors = torch.zeros_like(left)
    diagonal = factor.diagonal().tolist()
    for j in range(len(left)):
        if j % pattern.m == 0:
            block = slice(j, j + pattern.m)
            costs = (left[block] / factor.diagonal()[block, None]).square()
            mask[block] = keep_largest(costs.T.contiguous(), pattern).T
        torch.mul(left[j], ~mask[j], out=errors[j]).div_(diagonal[j])
        left[j:].addmm_(factor[j, j:, None], errors[j, None], alpha=-1)  # faster than addr_
    return errors


def inverse_factor(gram: Tensor, damping: float) -> Tensor:
    """The upper triangle U with Uᵀ U = (gram + damping · mean(diag) · I)⁻¹: (columns, columns).

    Where an input is always zero the diagonal of the sum is 1. With the order of the columns
    reversed, U is the inverse of the lower Cholesky factor: one factorisation, and no inverse of a
    whole matrix.
    """
    scale = float(gram.diagonal().mean())
    while True:
        damped = gram.flip(0, 1)
        diagonal = damped.diagonal()
        diagonal += (diagonal == 0).to(gram.dtype)
        diagonal += damping * scale
        lower, failed = torch.linalg.cholesky_ex(damped)
        del damped, diagonal
        if not int(failed):
            break
        damping = max(10 * damping, 1e-6)
    _invert_lower(lower)
    factor: Tensor = lower.flip(0, 1)
    return factor


def _invert_lower(lower: Tensor) -> None:
    """Invert a lower triangle in place, by halves."""
    size = len(lower)
    if size <= LEAF:
        one = torch.eye(size, dtype=lower.dtype, device=lower.device)
        lower.copy_(torch.linalg.solve_triangular(lower, one, upper=False))
        return
    half = size // 2
    first, second, between = lower[:half, :half], lower[half:, half:], lower[half:, :half]
    solved = torch.linalg.solve_triangular(second, between, upper=False)
    solved = torch.linalg.solve_triangular(first, solved, upper=False, left=False)
    between.copy_(solved.neg_())
    _invert_lower(first)
    _invert_lower(second)
