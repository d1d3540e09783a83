"""ELSA trains one network under many densities, and then finds that of each layer."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from lbc.sparsity.method_options import Course, MethodOptions, Obstacle, Recipe
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.schedule import Schedule


class Options(MethodOptions):
    """Options of ELSA."""

    schedule_settings: ClassVar[tuple[str, ...]] = ("end",)
    keeps_all: ClassVar[bool] = False

    macs: float = Field(
        default=0,
        ge=0,
        lt=1,
        title="multiply-adds, at most",
        description="Largest share of the network's multiply-adds that may be left; 0 for halfway "
        "between the fewest and the most.",
    )
    dense: bool = Field(
        default=False,
        title="may stay dense",
        description="Whether each layer can also keep all of its weights, beyond N of every M.",
    )
    least_macs: float = Field(
        default=0,
        ge=0,
        lt=1,
        title="multiply-adds, at least",
        description="Smallest share of the network's multiply-adds that the search considers.",
    )
    held_out: float = Field(
        default=0.1,
        gt=0,
        le=0.5,
        title="held out",
        description="Share of the training images that choices are compared on, not trained on.",
    )
    evaluate_every: float = Field(
        default=1,
        gt=0,
        title="evaluate every",
        description="Epochs from one evaluation of random choices to the next.",
    )
    subnets: int = Field(
        default=10, ge=1, description="Random choices of all layers in an evaluation."
    )
    tolerance: float = Field(
        default=20,
        ge=0,
        description="Percentage points below the mean accuracy at which a layer loses a choice.",
    )
    generations: int = Field(
        default=5, ge=0, description="Generations of the search after the first."
    )
    population: int = Field(
        default=20, ge=2, description="Choices of all layers in a generation of the search."
    )

    @property
    def evaluation_share(self) -> float:
        return self.held_out

    def live(self, schedule: Schedule, pattern: Pattern, epoch: float) -> int:
        return pattern.count if epoch < schedule.end else 1

    def density(self, schedule: Schedule, pattern: Pattern, epoch: float) -> tuple[float, float]:
        return pattern.width / pattern.m, 1.0 if self.dense else pattern.density

    def decision(self, schedule: Schedule, epochs: int) -> float:
        return schedule.end

    def lean(self, schedule: Schedule, epoch: float) -> float:
        """ε, from −1 (dense choices are likelier) to 1, level for an interval at both ends."""
        first, last = self.evaluate_every, schedule.end - self.evaluate_every
        if last <= first:
            return -1.0 if epoch < schedule.end / 2 else 1.0
        return min(1.0, max(-1.0, 2 * (epoch - first) / (last - first) - 1))

    def courses(self, schedule: Schedule, epochs: int) -> tuple[Course, ...]:
        label = "Lean to sparse choices"
        return (Course(label, lambda epoch: (1 + self.lean(schedule, epoch)) / 2),)

    def obstacle(self, recipe: Recipe) -> Obstacle | None:
        if self.macs and self.least_macs > self.macs:
            return Obstacle(
                "method.least_macs",
                f"The search would look for at least {self.least_macs:g} and at most "
                f"{self.macs:g} of the multiply-adds: lower method.least_macs.",
            )
        return None
