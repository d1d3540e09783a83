"""A fixed mask is that of the initial weights, from the first step to the last."""

from __future__ import annotations

from typing import ClassVar

from lbc.sparsity.method_options import MethodOptions


class Options(MethodOptions):
    """A fixed mask has no options."""

    keeps_all: ClassVar[bool] = False
