"""DSnoT trains dense until t_f, then prunes once and swaps pruned against kept weights."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lbc.sparsity.method_options import CalibrationAtEnd, group_obstacle
from lbc.sparsity.pattern import Pattern


class Options(CalibrationAtEnd):
    """Options of DSnoT."""

    initial: Literal["wanda", "magnitude", "sparsegpt"] = Field(
        default="wanda",
        description="Scores by which weights are pruned before the swaps.",
        title="start from",
    )
    cycles: int = Field(default=50, ge=0, le=10_000, description="Most swaps in each row.")
    threshold: float = Field(
        default=0.1, ge=0, description="Lost output at which a row is left alone."
    )
    variance_power: float = Field(
        default=1.0, ge=0, le=4, description="Exponent of the variances of the activations."
    )

    def layer_obstacle(self, pattern: Pattern, _shape: tuple[int, ...]) -> str:
        return group_obstacle(pattern, "it swaps single weights")
