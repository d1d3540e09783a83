"""Methods of N:M training, one file each.

A method is a module of this package with one function, ``attach`` (see ``Method``); its name is the
file's, with ``-`` for ``_``. A new file here is a new method; nothing else has to change.
"""

from __future__ import annotations

import pkgutil
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from torch import Tensor

    from lbc.sparsity.pattern import Pattern
    from lbc.sparsity.sparse_layer import Form, SparseLayer


class Method(Protocol):
    """How one weight is trained under a pattern.

    Its layer defines how many combinations are live at an epoch (``wanted``), which ones
    (``choose``), and the weight that the network computes with (``forward``).
    """

    def attach(self, name: str, weight: Tensor, pattern: Pattern, form: Form, /) -> SparseLayer:
        """The parametrization of ``weight``, (O, I, *kernel); only ``lbc`` uses ``form``."""


def method_names() -> tuple[str, ...]:
    """The names of all methods, without importing them."""
    return _names_in(tuple(__path__))


@cache
def _names_in(folders: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(folders)))


def check_method(name: str) -> str:
    """Return ``name`` if there is such a method. Raises ValueError with the choices."""
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
