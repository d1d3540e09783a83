"""Bi-Mask: a second mask that is N:M along the outputs, for the gradient of the input."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from lbc.sparsity.method_options import MethodOptions, group_obstacle
from lbc.sparsity.pattern import Pattern


class Options(MethodOptions):
    """How often the rows are put in another order, and the pull on masked weights."""

    schedule_settings: ClassVar[tuple[str, ...]] = ()
    interval: int = Field(
        default=100, ge=1, description="Steps from one choice by the method to the next."
    )
    draws: int = Field(
        default=100,
        ge=0,
        description="Random orders of a layer's outputs that are compared; 0 keeps their own.",
    )
    pull: float = Field(default=2e-4, ge=0, description="Pull of masked weights towards zero (λ).")

    def layer_obstacle(self, pattern: Pattern, shape: tuple[int, ...]) -> str:
        return group_obstacle(pattern, "its second mask keeps single weights along the outputs")
