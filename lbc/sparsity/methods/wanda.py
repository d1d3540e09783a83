"""Wanda: the N largest |W_oj| · ‖x_j‖₂ of every block, chosen once at t_f.

Sun, Liu, Bair, Kolter, ICLR 2024: see ``lbc.sparsity.calibration.wanda``. Dense until t_f, and
under a fixed mask after, like ``asp``.
"""

from __future__ import annotations

from lbc.sparsity.calibration import wanda
from lbc.sparsity.calibration.calibrated_layer import Pruning, attach
from lbc.sparsity.conductor import Conductor, Run

__all__ = ["attach", "conduct"]


def conduct(run: Run, /) -> Conductor:
    """Prune every layer at t_f."""
    return Pruning(run, wanda.solve)
