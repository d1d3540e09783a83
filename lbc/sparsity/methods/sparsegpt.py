"""SparseGPT: at t_f prune column by column, and let the columns to the right make up for it.

Frantar, Alistarh, ICML 2023: see ``lbc.sparsity.calibration.sparsegpt``. Dense until t_f, and under
a fixed mask after, like ``asp``.
"""

from __future__ import annotations

from functools import partial

from lbc.sparsity.calibration import sparsegpt
from lbc.sparsity.calibration.calibrated_layer import Pruning, attach
from lbc.sparsity.conductor import Conductor, Run
from lbc.sparsity.method_options.sparsegpt import Options

__all__ = ["attach", "conduct"]


def conduct(run: Run, /) -> Conductor:
    """Prune every layer at t_f."""
    assert isinstance(run.options, Options)
    return Pruning(run, partial(sparsegpt.solve, damping=run.options.damping))
