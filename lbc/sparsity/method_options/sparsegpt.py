"""SparseGPT trains dense until t_f, then prunes once and lets the kept weights make up for it."""

from __future__ import annotations

from pydantic import Field

from lbc.sparsity.method_options import CalibrationAtEnd


class Options(CalibrationAtEnd):
    """Options of SparseGPT."""

    damping: float = Field(
        default=0.01,
        ge=0,
        le=10,
        description="Added to the diagonal of the matrix of activations, as a share of its mean.",
    )
