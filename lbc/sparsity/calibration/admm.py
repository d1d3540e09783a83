"""ADMM: the mask gets sparser step by step while the kept weights are solved for.

Boža, "Fast and Effective Weight Update for Pruned Large Language Models", arXiv 2401.02938. With
inputs scaled to unit norm, minimise ‖(W − Z) X‖² over Z under a mask by the alternating direction
method of multipliers; in the first iterations the mask is chosen anew from V + U, and ends at
exactly N:M. For any N:M, where the released code keeps two of four whatever is asked for.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lbc.sparsity.calibration.input_statistics import InputStatistics
from lbc.sparsity.calibration.solution import Solution, keep_largest
from lbc.sparsity.pattern import Pattern

MASK_ITERATIONS = 15
"""Iterations, the first ones, in which the mask is chosen anew."""

LEAST_NORM = 1e-8
"""Added to the norms of the inputs, one of which may be zero."""


def solve(
    weight: Tensor,
    statistics: InputStatistics,
    pattern: Pattern,
    iterations: int = 20,
    damping: float = 0.1,
    penalty: float = 1.0,
) -> Solution:
    """Mask and solved weight for W, (O, columns); with 0 iterations those of Wanda.

    With fewer than 15 iterations, the mask is final in the last one. ``penalty`` is ρ.
    """
    norms = statistics.gram.diagonal().sqrt() + LEAST_NORM
    gram = statistics.gram / norms
    gram /= norms[:, None]
    diagonal = gram.diagonal()
    diagonal += damping * float(diagonal.mean())
    present = weight * norms  # V
    target = present @ gram  # Y
    diagonal += penalty
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(gram))  # R
    del gram, diagonal
    dual = torch.zeros_like(present)  # U
    mask = keep_largest(present.abs(), pattern)
    stages = min(MASK_ITERATIONS, iterations)
    for k in range(iterations):
        moved = present + dual
        if k < stages:
            mask = _gradual_mask(moved.abs(), pattern, 1 - (1 - (k + 1) / stages) ** 3)
        masked = moved * mask  # Z
        dual = moved - masked
        present = torch.add(target, masked - dual, alpha=penalty) @ inverse
    return Solution(mask, (present + dual) * mask / norms)


def _gradual_mask(sizes: Tensor, pattern: Pattern, progress: float) -> Tensor:
    """The mask when ``progress`` of all that N:M prunes is pruned: the smallest of the layer.

    The N largest of every block are never pruned.
    """
    protected = keep_largest(sizes, pattern)
    pruned = int(progress * (1 - pattern.density) * sizes.numel())
    if progress == 1 or not pruned:
        return protected if progress == 1 else torch.ones_like(protected)
    others = sizes.masked_fill(protected, torch.inf)
    return others > others.flatten().kthvalue(pruned).values
