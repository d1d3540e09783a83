"""STEP trains dense until Adam's variances have settled, then under the mask, with these fixed."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from lbc.sparsity.method_options import Obstacle, Recipe, RemovalAtEnd
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.schedule import Schedule


class Options(RemovalAtEnd):
    """Options of STEP."""

    keeps_all: ClassVar[bool] = True

    earliest: float = Field(
        default=0.2,
        ge=0,
        le=1,
        title="earliest switch",
        description="Earliest switch to the mask, as a share of schedule.end, the latest one.",
    )

    def density(self, schedule: Schedule, pattern: Pattern, epoch: float) -> tuple[float, float]:
        """From dense to N:M between the earliest switch and ``schedule.end``."""
        least = 1 if epoch <= self.earliest * schedule.end else pattern.density
        return least, 1 if epoch < schedule.end else pattern.density

    def obstacle(self, recipe: Recipe) -> Obstacle | None:
        if recipe.optimizer in ("adam", "adamw"):
            return None
        said = (
            f"step needs the variances of Adam, and {recipe.optimizer} has none: set "
            "optimizer.name to adam or adamw."
        )
        return Obstacle("optimizer.name", said)
