"""ProxSparse pulls blocks towards 2:4 by a proximal map after every step, and then takes their
mask."""

from __future__ import annotations

from pydantic import Field

from lbc.sparsity.method_options import Obstacle, Recipe, RemovalAtEnd, untrained_obstacle
from lbc.sparsity.pattern import Pattern


class Options(RemovalAtEnd):
    """Options of ProxSparse."""

    strength: float = Field(
        default=0.25,
        ge=0,
        le=1e6,
        description="Weight of the regulariser (λ); 0.2 to 0.5 in the language models.",
    )
    restore: bool = Field(
        default=True,
        title="restore weights",
        description="Put the network back to its first weights when the mask is fixed.",
    )

    def layer_obstacle(self, pattern: Pattern, shape: tuple[int, ...]) -> str:
        return "" if pattern == Pattern(2, 4) else "its proximal map is known for 2:4 only"

    def obstacle(self, recipe: Recipe) -> Obstacle | None:
        if not self.restore:
            return None
        if recipe.averaged:
            said = (
                "proxsparse puts the network back to its first weights, and an average of the "
                "weights would not follow: set training.ema_decay to 0, or method.restore to false."
            )
            return Obstacle("training.ema_decay", said)
        return untrained_obstacle(
            recipe,
            "unless method.restore is false, proxsparse ends with the weights it starts from",
        )
