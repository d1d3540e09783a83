"""RIA trains dense until t_f and then prunes once, by relative importance and activations."""

from __future__ import annotations

from pydantic import Field

from lbc.sparsity.method_options import CalibrationAtEnd, Obstacle, Recipe, group_obstacle
from lbc.sparsity.pattern import Pattern


class Options(CalibrationAtEnd):
    """Options of RIA."""

    power: float = Field(
        default=0.5, ge=0, le=2, description="Exponent of the norms of the activations."
    )
    permute: bool = Field(
        default=False,
        description="Reorder the channels between two layers first, so that blocks keep more.",
    )

    def layer_obstacle(self, pattern: Pattern, _shape: tuple[int, ...]) -> str:
        return group_obstacle(pattern, "it reorders single channels") if self.permute else ""

    def obstacle(self, recipe: Recipe) -> Obstacle | None:
        if not self.permute or not recipe.averaged:
            return None
        return Obstacle(
            "training.ema_decay",
            "ria cannot reorder the channels of a running average: set training.ema_decay to 0, or "
            "method.permute to false.",
        )
