"""A random mask is drawn once and never changes."""

from __future__ import annotations

from typing import ClassVar

from lbc.sparsity.method_options import MethodOptions


class Options(MethodOptions):
    """A random mask has no options."""

    keeps_all: ClassVar[bool] = False
