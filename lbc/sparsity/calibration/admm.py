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
from lbc.sparsity.calibration.solution import Progress, Solution, ignore_progress, keep_largest
from lbc.sparsity.pattern import Pattern

MASK_ITERATIONS = 15
"""Iterations, the first ones, in which the mask is chosen anew."""

LEAST_NORM = 1e-8
"""Added to the norms of the inputs, one of which may be zero."""


def solve(
    weight: Tensor,
    statistics: InputStatistics,
    pattern: Pattern,
    progress: Progress = ignore_progress,
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
    diagonal += damping * float(diagonal.mean()) + penalty
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(gram))  # R
    del gram, diagonal
    scaled = weight * norms
    moved = scaled.clone()  # V + U
    mask = keep_largest(moved.abs(), pattern)
    stages = min(MASK_ITERATIONS, iterations)
    masked = torch.empty_like(moved)
    for k in range(iterations):
        if k < stages:
            mask = _gradual_mask(moved.abs(), pattern, 1 - (1 - (k + 1) / stages) ** 3)
        torch.mul(moved, mask, out=masked)  # Z
        moved -= masked  # U
        # V = (Y + ρ (Z − U)) R with Y = V⁰ G is V⁰ + ρ (Z − U − V⁰) R, as G R = 1 − ρ R.
        masked.sub_(moved).sub_(scaled)
        moved.add_(scaled).addmm_(masked, inverse, alpha=penalty)
        progress((k + 1) / iterations)
    return Solution(mask, moved.mul_(mask).div_(norms))


def _gradual_mask(sizes: Tensor, pattern: Pattern, progress: float) -> Tensor:
    """The mask when ``progress`` of all that N:M prunes is pruned: the smallest of the layer.

    The N largest of every block are never pruned. Overwrites ``sizes``.
    """
    protected = keep_largest(sizes, pattern)
    pruned = int(progress * (1 - pattern.density) * sizes.numel())
    if progress == 1 or not pruned:
        return protected if progress == 1 else torch.ones_like(protected)
    sizes.masked_fill_(protected, torch.inf)
    return sizes > sizes.flatten().kthvalue(pruned).values
