"""LBC: a learnable score for every combination, the low-scored ones removed step by step.

Zhang et al., "Learning Best Combination for Efficient N:M Sparsity", NeurIPS 2022.
W̃ = b ⊙ W with b_j = 1 where some live combination holds j; ∂L/∂W = b ⊙ ∂L/∂W̃, and for every live
combination c ∂L/∂s_c = Σ_{j∈c} W_j ∂L/∂W̃_j.
"""

from __future__ import annotations

from torch import Tensor

from lbc.sparsity.method_options import Form
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.sparse_layer import SparseLayer
from lbc.sparsity.trained_scores import PerCombination, PerWeight


def attach(name: str, weight: Tensor, pattern: Pattern, form: Form, /) -> SparseLayer:
    """Scores per weight, exact under SGD, or per combination, right for every optimiser."""
    kind = PerWeight if form == "per_weight" else PerCombination
    return kind(name, weight, pattern)
