"""The folder of a new run."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from lbc.runs.run_state import FILE as STATE

ANNOTATIONS = "library.json"
"""What the user has written about a run, perhaps before it starts."""

RUNS = Path("runs")
"""Folder of the runs, in the working directory, for the command line and the window."""


def new_run_path(parent: Path, name: str) -> Path:
    """A path below ``parent`` that does not exist: name and time, and a number if needed."""
    stem = f"{name}-{datetime.now():%Y%m%d-%H%M%S}"
    path, number = parent / stem, 2
    while path.exists():
        path, number = parent / f"{stem}-{number}", number + 1
    return path


def is_unused(path: Path) -> bool:
    """Whether a run may start in ``path``: a folder that is missing or empty.

    So is one in which a process was killed before a run could begin: without an experiment.
    """
    if not path.exists():
        return True
    return path.is_dir() and all(
        file.name == STATE or is_annotation(file) or _is_leftover(file) for file in path.iterdir()
    )


def is_annotation(file: Path) -> bool:
    """Whether a file of a run folder is the user's, and not written by training."""
    return file.name in (ANNOTATIONS, f".{ANNOTATIONS}.lock")


def _is_leftover(file: Path) -> bool:
    return file.name.startswith(".") and file.name.endswith(".tmp")
