"""The names of the methods, without importing them."""

from __future__ import annotations

import pkgutil
from difflib import get_close_matches
from functools import cache
from importlib.util import find_spec

PACKAGE = "lbc.sparsity.methods"


def method_names() -> tuple[str, ...]:
    """The names of all methods: those of the files in ``lbc/sparsity/methods``, ``-`` for ``_``."""
    spec = find_spec(PACKAGE)
    assert spec is not None
    return _names_in(tuple(spec.submodule_search_locations or ()))


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
