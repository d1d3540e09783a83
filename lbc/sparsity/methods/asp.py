"""ASP: train dense, keep the largest magnitudes of every block, train on with the mask fixed.

NVIDIA's recipe (Mishra et al., "Accelerating Sparse Deep Neural Networks", 2021) trains twice: once
dense, then again under the mask. Here both phases share one run, so that all methods see the data
equally often: the mask b = the N-subset with the largest Σ|w| is taken where the schedule ends
(t_f), the moment at which LBC has decided too. Gradients and weights are masked from then on.
"""

from __future__ import annotations

from torch import Tensor

from lbc.sparsity.magnitude_layer import MagnitudeLayer
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.schedule import Schedule, live_under
from lbc.sparsity.sparse_layer import Form, SparseLayer


class AspLayer(MagnitudeLayer):
    """W̃ = W until t_f, b ⊙ W after."""

    def wanted(self, schedule: Schedule, epoch: float, /) -> int:
        return live_under("asp", schedule, self.pattern, epoch)

    def forward(self, weight: Tensor) -> Tensor:
        self.see(weight)
        return weight if self.searching else self.under_fixed_mask(weight)


def attach(name: str, weight: Tensor, pattern: Pattern, _form: Form, /) -> SparseLayer:
    """A layer pruned once by magnitude."""
    return AspLayer(name, weight, pattern)
