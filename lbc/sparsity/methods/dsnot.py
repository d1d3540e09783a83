"""DSnoT: at t_f choose a mask, and swap pruned against kept weights to restore mean outputs.

Zhang et al., ICLR 2024: see ``lbc.sparsity.calibration.dsnot``. Dense until t_f, and under a fixed
mask after, like ``asp``.
"""

from __future__ import annotations

from functools import partial

from lbc.sparsity.calibration import dsnot
from lbc.sparsity.calibration.calibrated_layer import Pruning, attach
from lbc.sparsity.conductor import Conductor, Run
from lbc.sparsity.method_options.dsnot import Options

__all__ = ["attach", "conduct"]


def conduct(run: Run, /) -> Conductor:
    """Prune every layer at t_f."""
    options = run.options
    assert isinstance(options, Options)
    solver = partial(
        dsnot.solve,
        start=options.initial,
        cycles=options.cycles,
        threshold=options.threshold,
        power=options.variance_power,
    )
    return Pruning(run, solver)
