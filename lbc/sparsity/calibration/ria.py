"""RIA: relative importance and activations; the weights stay as they are.

Zhang, Bai, Lin, Zhao, Hou, Cannistraci, "Plug-and-Play: An Efficient Post-training Pruning Method
for Large Language Models", ICLR 2024. The score of a weight is its share of its column's Σ|W| plus
its share of its row's, times ‖x_j‖₂ to the power a = ½.
"""

from __future__ import annotations

from torch import Tensor

from lbc.sparsity.calibration.input_statistics import InputStatistics
from lbc.sparsity.calibration.solution import (
    Progress,
    Solution,
    ignore_progress,
    keep_largest,
    tiny,
)
from lbc.sparsity.pattern import Pattern


def scores(weight: Tensor, statistics: InputStatistics, power: float = 0.5) -> Tensor:
    """(|W_oj| / Σ_o |W_oj| + |W_oj| / Σ_j |W_oj|) · ‖x_j‖₂^power: (O, columns)."""
    sizes, least = weight.abs(), tiny(weight)
    columns = sizes.sum(dim=0).clamp_min(least)
    rows = sizes.sum(dim=1, keepdim=True).clamp_min(least)
    return (sizes / columns + sizes / rows) * statistics.norms**power


def solve(
    weight: Tensor,
    statistics: InputStatistics,
    pattern: Pattern,
    _progress: Progress = ignore_progress,
    power: float = 0.5,
) -> Solution:
    """The mask of RIA for W, (O, columns)."""
    return Solution(keep_largest(scores(weight, statistics, power), pattern))
