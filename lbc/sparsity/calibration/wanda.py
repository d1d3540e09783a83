"""Wanda: keep the N largest |W_oj| · ‖x_j‖₂ of every block; the weights stay as they are.

Sun, Liu, Bair, Kolter, "A Simple and Effective Pruning Approach for Large Language Models", ICLR
2024.
"""

from __future__ import annotations

from torch import Tensor

from lbc.sparsity.calibration.input_statistics import InputStatistics
from lbc.sparsity.calibration.solution import Progress, Solution, ignore_progress, keep_largest
from lbc.sparsity.pattern import Pattern


def scores(weight: Tensor, statistics: InputStatistics) -> Tensor:
    """|W_oj| · ‖x_j‖₂: (O, columns)."""
    return weight.abs() * statistics.norms


def solve(
    weight: Tensor,
    statistics: InputStatistics,
    pattern: Pattern,
    _progress: Progress = ignore_progress,
) -> Solution:
    """The mask of Wanda for W, (O, columns)."""
    return Solution(keep_largest(scores(weight, statistics), pattern))
