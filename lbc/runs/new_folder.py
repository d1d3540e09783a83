"""Where a new run goes."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path


def new_run_path(parent: Path, name: str) -> Path:
    """A path below ``parent`` that no run has yet: name and time, then a number if need be."""
    stem = f"{name}-{datetime.now():%Y%m%d-%H%M%S}"
    path, number = parent / stem, 2
    while path.exists():
        path, number = parent / f"{stem}-{number}", number + 1
    return path
