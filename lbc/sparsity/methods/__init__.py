"""Methods of N:M training, one file each.

A method is a module of this package with one function, ``attach`` (see ``Method``); its name is the
file's, with ``-`` for ``_``. A new file here is a new method: nothing else needs to know of it.
"""

from __future__ import annotations

import pkgutil
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from torch import Tensor

    from lbc.sparsity.pattern import Pattern
    from lbc.sparsity.sparse_layer import Form, SparseLayer


class Method(Protocol):
    """How one weight is trained under a pattern.

    Its layer says with ``wanted`` how many combinations are to live when, with ``choose`` which,
    and with ``forward`` what the network computes with.
    """

    def attach(self, name: str, weight: Tensor, pattern: Pattern, form: Form, /) -> SparseLayer:
        """The parametrization that stands for ``weight``; ``form`` matters to ``lbc`` alone."""


def method_names() -> tuple[str, ...]:
    """Every method there is; no method is imported."""
    return tuple(sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__)))


def check_method(name: str) -> str:
    """``name`` where a method is called so. Raises ValueError with the choices."""
    names = method_names()
    if name in names:
        return name
    close = get_close_matches(name.lower().replace("_", "-"), names, 1)
    hint = f"did you mean {close[0]}?" if close else f"choose {', '.join(names)}."
    raise ValueError(f"The method {name!r} is not known: {hint}")


def load_method(name: str) -> Method:
    """Import a method by its name. Raises ValueError with the choices."""
    module = import_module(f"{__name__}.{check_method(name).replace('-', '_')}")
    return cast(Method, module)
