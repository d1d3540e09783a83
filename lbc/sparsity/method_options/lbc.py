"""LBC removes combinations by the schedule, down to one."""

from __future__ import annotations

from typing import ClassVar

from lbc.sparsity.method_options import Form, MethodOptions
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.schedule import Schedule


class Options(MethodOptions):
    """LBC has no options of its own: see ``schedule`` and ``scores``."""

    schedule_settings: ClassVar[tuple[str, ...]] = ("kind", "start", "end", "exponent", "steps",
                                                    "every")  # fmt: skip
    score_forms: ClassVar[tuple[Form, ...]] = ("per_weight", "per_combination")
    keeps_all: ClassVar[bool] = False
    trained_state: ClassVar[str] = "scores"

    def live(self, schedule: Schedule, pattern: Pattern, epoch: float) -> int:
        return schedule.live(pattern, epoch)

    def decision(self, schedule: Schedule, epochs: int) -> float:
        return schedule.end
