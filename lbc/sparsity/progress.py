"""How far a removal is."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[float], object]
"""Called with the completed fraction of a removal, 0 to 1."""


def as_fractions(total: int, progress: Progress) -> Callable[[int], None]:
    """Turn numbers of scores into fractions of all ``total``."""
    done = 0

    def scored(count: int) -> None:
        nonlocal done
        done += count
        if total:
            progress(min(done / total, 1.0))

    return scored
