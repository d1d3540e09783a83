"""Where the run is that a fork began with."""

from __future__ import annotations

from pathlib import Path, PurePath

from lbc.runs.run_state import FILE, Parent


def parent_places(folder: Path, parent: str) -> tuple[Path, Path]:
    """Where the parent of the fork in ``folder`` may be: where it was, and beside the fork.

    The second is for forks that were moved or copied with their parents.
    """
    return Path(parent), folder.parent / PurePath(parent).name


def find_parent(folder: Path, parent: Parent) -> Path | None:
    """The folder of the parent of the fork in ``folder``; None if it was moved or deleted."""
    places = parent_places(folder, parent.folder)
    return next((at for at in places if at != folder and (at / FILE).is_file()), None)
