"""ASP: train dense, keep the largest magnitudes of every block, train on with the mask fixed.

NVIDIA's recipe (Mishra et al., "Accelerating Sparse Deep Neural Networks", 2021) trains twice: once
dense, then again under the mask. Here both phases share one run, so that all methods see the data
equally often: the mask b = the N-subset with the largest Σ|w| is taken where the schedule ends
(t_f), the moment at which LBC has decided too. Gradients and weights are masked from then on.
"""

from __future__ import annotations

from torch import Tensor

from lbc.sparsity.magnitude_layer import MagnitudeLayer
from lbc.sparsity.method_options import Form
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.sparse_layer import SparseLayer


def attach(name: str, weight: Tensor, pattern: Pattern, _form: Form, /) -> SparseLayer:
    """A layer pruned once by magnitude."""
    return MagnitudeLayer(name, weight, pattern)
