"""ADMM trains dense until t_f, then prunes once and solves for the kept weights."""

from __future__ import annotations

from pydantic import Field

from lbc.sparsity.method_options import CalibrationAtEnd


class Options(CalibrationAtEnd):
    """Options of ADMM."""

    iterations: int = Field(
        default=20, ge=0, le=1000, description="Iterations; the mask is final after the 15th."
    )
    damping: float = Field(
        default=0.1,
        ge=0,
        le=10,
        description="Added to the diagonal of the matrix of activations, as a share of its mean.",
    )
    penalty: float = Field(
        default=1.0,
        gt=0,
        le=100,
        description="ρ, the weight of the distance to the masked weights.",
    )
