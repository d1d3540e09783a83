"""RIA trains dense until t_f and then prunes once, by relative importance and activations."""

from __future__ import annotations

from pydantic import Field

from lbc.sparsity.method_options import CalibrationAtEnd


class Options(CalibrationAtEnd):
    """Options of RIA."""

    power: float = Field(
        default=0.5, ge=0, le=2, description="Exponent of the norms of the activations."
    )
