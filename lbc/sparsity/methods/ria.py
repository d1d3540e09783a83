"""RIA: the N weights of every block with the largest relative importance, chosen once at t_f.

Zhang et al., ICLR 2024: see ``lbc.sparsity.calibration.ria``. Dense until t_f, and under a fixed
mask after, like ``asp``.
"""

from __future__ import annotations

from functools import partial

from lbc.sparsity.calibration import ria
from lbc.sparsity.calibration.pruning import Pruning, attach
from lbc.sparsity.conductor import Conductor, Run
from lbc.sparsity.method_options.ria import Options

__all__ = ["attach", "conduct"]


def conduct(run: Run, /) -> Conductor:
    """Prune every layer at t_f."""
    assert isinstance(run.options, Options)
    return Pruning(run, partial(ria.solve, power=run.options.power))
