"""S-STE shrinks what it keeps, by the largest weight that it does not keep."""

from __future__ import annotations

from lbc.sparsity.method_options import MethodOptions, group_obstacle
from lbc.sparsity.pattern import Pattern


class Options(MethodOptions):
    """S-STE has no options."""

    def layer_obstacle(self, pattern: Pattern, shape: tuple[int, ...]) -> str:
        return group_obstacle(pattern, "its threshold is the next single weight of a block")
