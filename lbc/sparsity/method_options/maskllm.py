"""MaskLLM learns which combination of every block to keep, in a trained network that stays as it
is."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from lbc.sparsity.method_options import (
    CalibrationAtEnd,
    Course,
    Form,
    Obstacle,
    Recipe,
    untrained_obstacle,
)
from lbc.sparsity.schedule import Schedule


class Options(CalibrationAtEnd):
    """Options of MaskLLM; most defaults are those of its code for vision transformers."""

    score_forms: ClassVar[tuple[Form, ...]] = ("per_combination",)
    trained_state: ClassVar[str] = "logits"
    one_shot: ClassVar[bool] = False
    score_copies: ClassVar[int] = 2

    scale_from: float = Field(
        default=10,
        gt=0,
        le=1e6,
        title="logit scale from",
        description="Factor of the logits (κ) in the first step; 100 in the language models.",
    )
    scale_to: float = Field(
        default=100,
        gt=0,
        le=1e6,
        title="logit scale to",
        description="Factor of the logits (κ) at schedule.end; 500 in the language models.",
    )
    temperature_from: float = Field(
        default=4, ge=1e-3, le=1e3, description="Temperature (τ) of the first step."
    )
    temperature_to: float = Field(
        default=0.05, ge=1e-3, le=1e3, description="Temperature (τ) at schedule.end."
    )
    deviation: float = Field(
        default=0.2,
        gt=0,
        le=100,
        title="logit deviation",
        description="Standard deviation of the first logits; 0.01 in the language models.",
    )
    prior: Literal["none", "magnitude", "wanda", "sparsegpt"] = Field(
        default="magnitude", description="The method whose mask the first logits favour."
    )
    prior_strength: float = Field(
        default=3, ge=0, le=100, description="How many standard deviations the prior adds (α)."
    )
    reward: float = Field(
        default=1e-5,
        ge=0,
        le=1,
        title="reward of large weights",
        description="The loss falls by this times the sum of the squares of what is kept (λ).",
    )
    reward_fades: bool = Field(
        default=True, description="Whether that reward falls to nothing until schedule.end."
    )
    lr_scale: float = Field(
        default=10,
        gt=0,
        le=1e4,
        title="learning rate of logits",
        description="Factor of the learning rate of the logits; as in the language models.",
    )
    hard: bool = Field(
        default=False,
        title="hard samples",
        description="Compute with the most likely combination of a sample, not with its mixture.",
    )

    def share(self, schedule: Schedule, epoch: float) -> float:
        """The share of the search that is over at an epoch: t / T, 0 to 1."""
        return min(epoch / schedule.end, 1)

    def scale(self, share: float) -> float:
        """κ when a share of the search is over."""
        return self.scale_from + (self.scale_to - self.scale_from) * share

    def temperature(self, share: float) -> float:
        """τ when a share of the search is over."""
        return self.temperature_from + (self.temperature_to - self.temperature_from) * share

    def courses(self, schedule: Schedule, epochs: int) -> tuple[Course, ...]:
        return (
            Course("Temperature", lambda at: self.temperature(self.share(schedule, at)), "τ"),
            Course("Logit scale", lambda at: self.scale(self.share(schedule, at)), "κ"),
        )

    def obstacle(self, recipe: Recipe) -> Obstacle | None:
        return untrained_obstacle(
            recipe,
            "maskllm chooses among the weights of a trained network and changes none of them",
        )
