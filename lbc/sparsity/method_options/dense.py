"""Dense training removes nothing."""

from __future__ import annotations

from typing import ClassVar

from lbc.sparsity.method_options import MethodOptions
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.schedule import Schedule


class Options(MethodOptions):
    """Dense training has no options."""

    prunes: ClassVar[bool] = False

    def live(self, schedule: Schedule, pattern: Pattern, epoch: float) -> int:
        return pattern.count
