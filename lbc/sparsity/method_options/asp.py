"""ASP trains dense until t_f and then keeps the largest weights."""

from __future__ import annotations

from typing import ClassVar

from lbc.sparsity.method_options import RemovalAtEnd


class Options(RemovalAtEnd):
    """ASP has no options of its own."""

    one_shot: ClassVar[bool] = True
