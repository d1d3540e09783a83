"""MdGf lets masked weights fade out by a factor β."""

from __future__ import annotations

from math import exp, log
from typing import ClassVar, Literal

from pydantic import Field

from lbc.sparsity.method_options import Course, MethodOptions, Obstacle, Recipe
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.schedule import Schedule

LEFT = 0.01
"""The factor at schedule.end, where it becomes 0, of an exponential decay of unspecified rate."""


class Options(MethodOptions):
    """Options of MdGf."""

    schedule_settings: ClassVar[tuple[str, ...]] = ("end",)

    decay: Literal["linear", "exponential"] = Field(
        default="linear", description="How the factor of masked weights falls from 1 to 0."
    )
    rate: float = Field(
        default=0,
        ge=0,
        description="Decay per epoch (c); 0 for what fits schedule.end.",
    )
    start: float = Field(
        default=0, ge=0, title="dense epochs", description="Epochs of dense training at the start."
    )
    gradient: Literal["autograd", "released"] = Field(
        default="autograd",
        description="Gradient of the masked product, or unscaled as in the released code.",
    )
    pull: float = Field(default=0, ge=0, description="Pull of masked weights towards zero (λ).")

    def number(self, schedule: Schedule, _pattern: Pattern | None, epoch: float) -> float:
        """β at ``epoch``."""
        if epoch >= schedule.end:
            return 0.0
        passed, span = max(0.0, epoch - self.start), schedule.end - self.start
        if self.decay == "linear":
            return max(0.0, 1 - passed * (self.rate or 1 / span))
        return exp(-passed * (self.rate or -log(LEFT) / span))

    def live(self, schedule: Schedule, pattern: Pattern, epoch: float) -> int:
        return pattern.count if self.number(schedule, pattern, epoch) else 1

    def density(self, schedule: Schedule, pattern: Pattern, epoch: float) -> tuple[float, float]:
        used = 1.0 if self.number(schedule, pattern, epoch) else pattern.density
        return used, used

    def decision(self, schedule: Schedule, epochs: int) -> float:
        return schedule.end

    def courses(self, schedule: Schedule, epochs: int) -> tuple[Course, ...]:
        return (Course(FACTOR, lambda epoch: self.number(schedule, None, epoch)),)

    def obstacle(self, recipe: Recipe) -> Obstacle | None:
        return late_start(self.start, recipe.schedule.end)


FACTOR = "Factor of masked weights (β)"


def late_start(start: float, end: float) -> Obstacle | None:
    """Why a method cannot begin at ``start``; None if it can."""
    if start < end:
        return None
    return Obstacle(
        "method.start",
        f"The method begins at epoch {start:g} and ends at epoch {end:g}: lower method.start.",
    )
