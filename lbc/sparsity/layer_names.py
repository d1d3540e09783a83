"""Names of layers, and globs that are meant to match some."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

NAMED = 6
"""The most layers that an error names."""


def listed(names: Sequence[str]) -> str:
    """Names with commas; of many the first and the last ones."""
    if len(names) > NAMED:
        names = [*names[: NAMED - 2], f"… ({len(names)} in all)", *names[-2:]]
    return ", ".join(names)


def check_names(names: Sequence[str], wanted: Iterable[str]) -> None:
    """Raise ValueError, a sentence, for a name or glob that matches none of ``names``."""
    for glob in wanted:
        if not any(fnmatchcase(name, glob) or name == glob for name in names):
            near = get_close_matches(glob, names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"the layers are {listed(names)}."
            raise ValueError(f"No layer with a weight is named {glob!r}: {hint}")
