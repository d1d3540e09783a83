"""MaxQ prunes ever more blocks, the strongest first, and scales what is left."""

from __future__ import annotations

from math import cos, exp, floor, pi
from typing import ClassVar, Literal

from pydantic import Field

from lbc.sparsity.method_options import Course, MethodOptions, Obstacle, Recipe
from lbc.sparsity.method_options.mdgf import late_start
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.schedule import Schedule

EXPONENT = 0.05
"""The rate per epoch of the exponential shape, as in the released code."""


class Options(MethodOptions):
    """Options of MaxQ."""

    schedule_settings: ClassVar[tuple[str, ...]] = ("end",)

    start: float = Field(
        default=0, ge=0, title="dense epochs", description="Epochs of dense training at the start."
    )
    end: float = Field(
        default=0,
        ge=0,
        title="all pruned at",
        description="Epoch at which every block is pruned; 0 for schedule.end.",
    )
    shape: Literal["linear", "cubic", "cosine", "exponential"] = Field(
        default="linear", description="How the share of dense blocks falls from 1 to 0."
    )
    filters: bool = Field(
        default=True, description="Scale weights that are large among those of their output."
    )
    kernels: bool = Field(
        default=True,
        description="Scale weights that are large among those of their kernel position.",
    )
    tau: float = Field(
        default=0.01, gt=0, title="sigmoid width (τ)", description="Width of the sigmoid (τ)."
    )
    pull: float = Field(default=2e-4, ge=0, description="Pull of masked weights towards zero (λ).")

    def ending(self, schedule: Schedule) -> float:
        """The epoch from which on every block is pruned."""
        return self.end or schedule.end

    def number(self, schedule: Schedule, _pattern: Pattern | None, epoch: float) -> float:
        """The share of dense blocks at ``epoch``, which changes with whole epochs."""
        end = self.ending(schedule)
        if epoch >= end:
            return 0.0
        passed, span = max(0.0, floor(epoch) - self.start), end - self.start
        match self.shape:
            case "linear":
                return 1 - passed / span
            case "cubic":
                return (1 - passed / span) ** 3
            case "cosine":
                return cos(pi / 2 * passed / span)
            case "exponential" if span <= 1:
                return float(not passed)
            case "exponential":
                total = 1 - exp(-EXPONENT * (span - 1))
                return max(0.0, 1 - (1 - exp(-EXPONENT * passed)) / total)

    def live(self, schedule: Schedule, pattern: Pattern, epoch: float) -> int:
        return pattern.count if self.number(schedule, pattern, epoch) else 1

    def density(self, schedule: Schedule, pattern: Pattern, epoch: float) -> tuple[float, float]:
        share = self.number(schedule, pattern, epoch)
        used = share + (1 - share) * pattern.density
        return used, used

    def decision(self, schedule: Schedule, epochs: int) -> float:
        return self.ending(schedule)

    def courses(self, schedule: Schedule, epochs: int) -> tuple[Course, ...]:
        return (Course(SHARE, lambda epoch: self.number(schedule, None, epoch)),)

    def obstacle(self, recipe: Recipe) -> Obstacle | None:
        if self.end > recipe.epochs:
            return Obstacle(
                "method.end",
                f"MaxQ prunes its last blocks at epoch {self.end:g}, but training ends at epoch "
                f"{recipe.epochs}: lower method.end to {recipe.epochs} or raise training.epochs.",
            )
        return late_start(self.start, self.ending(recipe.schedule))


SHARE = "Share of dense blocks"
