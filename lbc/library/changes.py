"""What a user does to a run: annotate it, or move it to the trash. Training is not disturbed."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lbc.files.os_errors import explain
from lbc.runs.annotations import Annotations, change_annotations
from lbc.runs.run_state import FILE as STATE
from lbc.runs.run_state import RunError
from lbc.runs.unfinished_run import being_trained


def annotate(folder: Path, **values: Any) -> Annotations:
    """Set fields of a run's annotations: title, tags, star, note, archived, group.

    Returns the new ones. Raises RunError if it is no run, or they cannot be read or written.
    """
    return _change(folder, lambda old: replace(old, **values))


def change_tags(
    folder: Path, add: Collection[str] = (), remove: Collection[str] = ()
) -> Annotations:
    """Add and remove tags of a run. Raises as ``annotate``."""
    if not all(tag.strip() for tag in add):
        raise RunError("A tag needs at least one letter or sign: write it behind the +.")
    return _change(
        folder, lambda old: replace(old, tags=tuple(sorted({*old.tags, *add}.difference(remove))))
    )


def delete_run(folder: Path, trash: Callable[[str], object]) -> None:
    """Move a run to the trash, with the function of the desktop for it.

    Raises RunError if it is no run, a process is training it, or there is no trash for it.
    """
    _check_run(folder)
    if being_trained(folder):
        raise RunError(
            f"A process is training the run {folder}: stop it before you delete the run."
        )
    try:
        trash(str(folder))
    except OSError as error:
        raise RunError(explain(error, f"{folder} cannot be moved to the trash")) from error


def _change(folder: Path, change: Callable[[Annotations], Annotations]) -> Annotations:
    _check_run(folder)
    try:
        return change_annotations(folder, change)
    except ValidationError as error:
        raise RunError(
            f"The text for {folder} has more than 65,536 characters, or bytes that are none: "
            "correct it."
        ) from error
    except OSError as error:
        raise RunError(explain(error, f"The run {folder} cannot be annotated")) from error


def _check_run(folder: Path) -> None:
    if not os.path.lexists(folder / STATE):
        raise RunError(f"{folder} holds no run: it needs the run.json of one.")
