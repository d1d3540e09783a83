"""Wanda trains dense until t_f and then prunes once, by weights and activations."""

from __future__ import annotations

from lbc.sparsity.method_options import CalibrationAtEnd


class Options(CalibrationAtEnd):
    """Options of Wanda."""
