"""DSnoT: swap pruned against kept weights until the expected output of a row is restored.

Zhang, Zhao, Lin, Sun, Yao, Han, Tanner, Liu, Ji, "Dynamic Sparse No Training", ICLR 2024, in its
N:M form. The weights stay as they are. D_oj = W_oj · s_j is what a weight adds to the mean output
of row o, and ε_o = Σ D over the pruned weights what the row has lost. A cycle restores the pruned
weight that reduces ε most, relative to the variance v_j of its input, and prunes the kept weight of
the same block with the lowest starting score.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from lbc.sparsity.calibration import sparsegpt, wanda
from lbc.sparsity.calibration.input_statistics import InputStatistics
from lbc.sparsity.calibration.solution import (
    Progress,
    Solution,
    ignore_progress,
    keep_largest,
    tiny,
)
from lbc.sparsity.pattern import Pattern

Start = Literal["wanda", "magnitude", "sparsegpt"]


def starting_scores(weight: Tensor, statistics: InputStatistics, start: Start) -> Tensor:
    """The score of every weight before the swaps: (O, columns)."""
    if start == "magnitude":
        return weight.abs()
    if start == "wanda":
        return wanda.scores(weight, statistics)
    factor = sparsegpt.inverse_factor(statistics.gram, damping=0.01)
    return (weight / factor.diagonal()).square()


def solve(
    weight: Tensor,
    statistics: InputStatistics,
    pattern: Pattern,
    progress: Progress = ignore_progress,
    start: Start = "wanda",
    cycles: int = 50,
    threshold: float = 0.1,
    power: float = 1.0,
) -> Solution:
    """The mask for W, (O, columns), after at most ``cycles`` swaps in every row.

    A row stops for good once its |ε| is at most ``threshold``, a swap would change the sign of ε,
    or the block has no kept weight left that was there from the start. ``power`` is the exponent
    of the variance. Starting from ``"sparsegpt"`` needs the Gram matrix.
    """
    scores = starting_scores(weight, statistics, start)
    mask = keep_largest(scores, pattern)
    shares = weight * statistics.sums  # D
    lost = (shares * ~mask).sum(dim=1)  # ε
    sign = lost.sign()
    urgency = (shares / statistics.variances.clamp_min(tiny(weight)) ** power).nan_to_num()
    pruned = weight.shape[1] // pattern.m * (pattern.m - pattern.n)
    order = urgency.masked_fill(mask, torch.inf).argsort(dim=1, stable=True)[:, :pruned]
    # Kept weights that may be pruned, by their scores; ∞ for all others.
    kept = scores.masked_fill(~mask, torch.inf).reshape(len(weight), -1, pattern.m)
    rows = torch.arange(len(weight), device=weight.device)
    low, high = torch.zeros_like(rows), torch.full_like(rows, pruned - 1)
    for cycle in range(min(cycles, pruned)):
        progress(cycle / cycles)
        upward = lost[rows] > 0
        grown = order[rows, torch.where(upward, high[rows], low[rows])]
        high[rows] -= upward.long()
        low[rows] += (~upward).long()
        block = grown // pattern.m
        score, place = kept[rows, block].min(dim=1)
        cut = block * pattern.m + place
        left = lost[rows] + shares[rows, cut] - shares[rows, grown]
        swapped = (lost[rows].abs() > threshold) & (left.sign() == sign[rows]) & score.isfinite()
        rows, grown, cut = rows[swapped], grown[swapped], cut[swapped]
        if not len(rows):
            break
        lost[rows] = left[swapped]
        mask[rows, grown], mask[rows, cut] = True, False
        kept[rows, cut // pattern.m, cut % pattern.m] = torch.inf
    assert bool((mask.reshape(-1, pattern.m).sum(dim=1) == pattern.n).all())
    return Solution(mask)
