"""The versions of this program and of the packages that it runs on, as installed."""

from __future__ import annotations

import platform
from functools import cache
from importlib.metadata import version

DISTRIBUTION = "lbc-explorer"


def own_version() -> str:
    """The version of this program; ``pyproject.toml`` is where it is set."""
    return version(DISTRIBUTION)


@cache
def installed_versions(*packages: str) -> dict[str, str]:
    """Versions by name: of this program, Python and ``packages``, without loading them."""
    names = (DISTRIBUTION, *packages)
    return {"python": platform.python_version(), **{name: version(name) for name in names}}
