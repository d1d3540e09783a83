"""Transposable masks: N:M along the inputs and along the outputs."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from lbc.sparsity.method_options import MethodOptions, group_obstacle
from lbc.sparsity.pattern import Pattern

LARGEST_TILE = 32
"""M above which choosing a mask for every tile of M × M weights takes too long."""


class Options(MethodOptions):
    """How often masks are chosen, and the pull on masked weights."""

    schedule_settings: ClassVar[tuple[str, ...]] = ()
    interval: int = Field(
        default=40, ge=1, description="Steps from one choice by the method to the next."
    )
    pull: float = Field(default=2e-4, ge=0, description="Pull of masked weights towards zero (λ).")

    def layer_obstacle(self, pattern: Pattern, shape: tuple[int, ...]) -> str:
        if pattern.width > 1:
            return group_obstacle(pattern, "its tiles keep single weights")
        if pattern.m > LARGEST_TILE:
            return f"masks are chosen in tiles of M × M weights, up to M = {LARGEST_TILE}"
        if shape and shape[0] % pattern.m:
            return (
                f"a mask that obeys {pattern} in both directions needs tiles of {pattern.m} × "
                f"{pattern.m} weights, and its {shape[0]} outputs are not a multiple of {pattern.m}"
            )
        return ""
