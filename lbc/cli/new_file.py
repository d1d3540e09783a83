"""Files that a command writes where the user wants them, in the place of no other file."""

from __future__ import annotations

from pathlib import Path


def require_new(path: Path | None, option: str) -> None:
    """Raise ValueError if the file of an option exists, or its folder does not."""
    if path is None:
        return
    if path.exists():
        raise ValueError(f"{path} already exists: choose another file with {option}.")
    if not path.absolute().parent.is_dir():
        raise ValueError(f"The folder {path.parent} does not exist: create it first.")
