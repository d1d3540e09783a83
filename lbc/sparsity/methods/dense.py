"""Dense: nothing is removed; what the others are measured against."""

from __future__ import annotations

from torch import Tensor

from lbc.sparsity.magnitude_layer import MagnitudeLayer
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.schedule import Schedule, live_under
from lbc.sparsity.sparse_layer import Form, SparseLayer


class DenseLayer(MagnitudeLayer):
    """W̃ = W. Its scores, Σ|w| of each combination, only show what magnitude would choose."""

    @property
    def searching(self) -> bool:
        return False

    def wanted(self, schedule: Schedule, epoch: float, /) -> int:
        return live_under("dense", schedule, self.pattern, epoch)

    def forward(self, weight: Tensor) -> Tensor:
        self.see(weight)
        return weight


def attach(name: str, weight: Tensor, pattern: Pattern, _form: Form, /) -> SparseLayer:
    """A layer that stays dense."""
    return DenseLayer(name, weight, pattern)
