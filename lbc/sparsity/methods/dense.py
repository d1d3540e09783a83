"""Dense: nothing is removed; what the others are measured against."""

from __future__ import annotations

from torch import Tensor

from lbc.sparsity.magnitude_layer import MagnitudeLayer
from lbc.sparsity.method_options import Form
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.sparse_layer import SparseLayer


class DenseLayer(MagnitudeLayer):
    """W̃ = W. Its scores, Σ|w| of each combination, only show what magnitude would choose."""

    @property
    def searching(self) -> bool:
        return False

    def forward(self, weight: Tensor) -> Tensor:
        self.see(weight)
        return weight


def attach(name: str, weight: Tensor, pattern: Pattern, _form: Form, /) -> SparseLayer:
    """A layer that stays dense."""
    return DenseLayer(name, weight, pattern)
