"""Fixed: train under the mask of the initial weights, the N largest of every block.

Of weights that are pruned already, as by ``lbc prune``, this is the mask of what is not zero: the
fine-tuning of the one-shot methods. W̃ = b ⊙ W, and gradients are masked too.
"""

from __future__ import annotations

from torch import Tensor

from lbc.sparsity.magnitude_layer import MagnitudeLayer
from lbc.sparsity.method_options import Form
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.sparse_layer import SparseLayer


def attach(name: str, weight: Tensor, pattern: Pattern, _form: Form, /) -> SparseLayer:
    """A layer whose mask is that of ``weight``."""
    layer = MagnitudeLayer(name, weight, pattern)
    layer.remove(1)
    return layer
