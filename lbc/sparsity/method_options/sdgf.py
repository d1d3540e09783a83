"""SdGf narrows the pattern in frames of equal length."""

from __future__ import annotations

from math import comb, floor
from typing import ClassVar, Literal

from pydantic import Field

from lbc.sparsity.method_options import MethodOptions, Obstacle, Recipe, group_obstacle
from lbc.sparsity.method_options.mdgf import late_start
from lbc.sparsity.pattern import LARGEST_M, Pattern
from lbc.sparsity.schedule import Schedule

MULTIPLES = (8, 4, 2, 1)
"""By what the frames of the geometric form multiply N and M."""

ROUNDING = 1e-9
"""Added to the count of frames that have passed, which is a quotient of floats."""


class Options(MethodOptions):
    """Options of SdGf."""

    schedule_settings: ClassVar[tuple[str, ...]] = ("end",)

    frames: Literal["stepwise", "geometric"] = Field(
        default="stepwise",
        description="Keep ever fewer weights of M, or N of M in ever narrower blocks.",
    )
    start: float = Field(
        default=0, ge=0, title="dense epochs", description="Epochs of dense training at the start."
    )
    gradient: Literal["autograd", "released"] = Field(
        default="autograd",
        description="Gradient of the masked product, or unscaled as in the released code.",
    )

    def frame_patterns(self, pattern: Pattern, width: int = 0) -> tuple[Pattern, ...]:
        """The patterns of the frames, of which the last is ``pattern``.

        ``width`` is the input width of the weight, into which the blocks must fit; 0 for any.
        """
        n, m = pattern.n, pattern.m
        if self.frames == "geometric":
            fits = [k for k in MULTIPLES if width % (k * m) == 0 and k * m <= LARGEST_M]
            return tuple(Pattern(min(k, fits[0]) * n, min(k, fits[0]) * m) for k in MULTIPLES)
        kept = [m - 1]
        while (half := m >> len(kept)) > n:
            kept.append(half)
        return tuple(Pattern(each, m) for each in dict.fromkeys((*kept, n)))

    def number(self, schedule: Schedule, pattern: Pattern, epoch: float) -> float:
        """The share of the frames that are still to come at ``epoch``; 1 is dense."""
        if epoch < self.start or epoch >= schedule.end:
            return float(epoch < self.start)
        count = len(self.frame_patterns(pattern))
        passed = (epoch - self.start) / (schedule.end - self.start) * count
        return (count - 1 - floor(passed + ROUNDING)) / count

    def frame(self, schedule: Schedule, pattern: Pattern, epoch: float) -> Pattern | None:
        """The pattern of a wide weight at ``epoch``; None while it is dense."""
        return self.frame_of(pattern, self.number(schedule, pattern, epoch))

    def frame_of(self, pattern: Pattern, number: float, width: int = 0) -> Pattern | None:
        """The pattern of the frame with a number; None if that is dense."""
        if number >= 1:
            return None
        patterns = self.frame_patterns(pattern, width)
        return patterns[-1 - round(number * len(patterns))]

    def live(self, schedule: Schedule, pattern: Pattern, epoch: float) -> int:
        frame = self.frame(schedule, pattern, epoch)
        return pattern.count if frame is None or frame.m > pattern.m else comb(frame.n, pattern.n)

    def density(self, schedule: Schedule, pattern: Pattern, epoch: float) -> tuple[float, float]:
        frame = self.frame(schedule, pattern, epoch)
        used = 1.0 if frame is None else frame.density
        return used, used

    def decision(self, schedule: Schedule, epochs: int) -> float:
        return schedule.end

    def obstacle(self, recipe: Recipe) -> Obstacle | None:
        return late_start(self.start, recipe.schedule.end)

    def layer_obstacle(self, pattern: Pattern, shape: tuple[int, ...]) -> str:
        return group_obstacle(pattern, "its frames keep single weights")
