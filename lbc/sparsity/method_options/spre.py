"""SpRe: a second weight per convolution, folded into the first at the end."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from lbc.sparsity.method_options import MethodOptions, Obstacle, Recipe


class Options(MethodOptions):
    """The pull on masked weights."""

    trained_state: ClassVar[str] = "second weights"
    pull: float = Field(default=2e-4, ge=0, description="Pull of masked weights towards zero (λ).")

    def obstacle(self, recipe: Recipe) -> Obstacle | None:
        if not recipe.averaged:
            return None
        return Obstacle(
            "training.ema_decay",
            "spre folds its second weights into weights and BatchNorm at the end, and an average "
            "of both is not the average of what they compute: set training.ema_decay to 0.",
        )
