"""ADMM: at t_f choose the mask step by step, while the kept weights are solved for.

Boža, arXiv 2401.02938: see ``lbc.sparsity.calibration.admm``. Dense until t_f, and under a fixed
mask after, like ``asp``.
"""

from __future__ import annotations

from functools import partial

from lbc.sparsity.calibration import admm
from lbc.sparsity.calibration.calibrated_layer import Pruning, attach
from lbc.sparsity.conductor import Conductor, Run
from lbc.sparsity.method_options.admm import Options

__all__ = ["attach", "conduct"]


def conduct(run: Run, /) -> Conductor:
    """Prune every layer at t_f."""
    options = run.options
    assert isinstance(options, Options)
    solver = partial(
        admm.solve,
        iterations=options.iterations,
        damping=options.damping,
        penalty=options.penalty,
    )
    return Pruning(run, solver)
