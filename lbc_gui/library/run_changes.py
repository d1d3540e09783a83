"""What the page changes in run folders; each change says what it did and how to take it back."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from PySide6.QtCore import QFile, QStandardPaths

from lbc.files.os_errors import explain
from lbc.files.printable import printable
from lbc.library.changes import annotate, change_tags, delete_run
from lbc.library.run_summary import RunSummary
from lbc.runs.run_state import RunError


@dataclass(frozen=True)
class Done:
    """Runs were changed: a sentence, and how that is taken back, if it is offered.

    ``problems`` are sentences on those that could not be changed.
    """

    sentence: str
    undo: Callable[[], Done] | None = None
    problems: tuple[str, ...] = ()


Runs = Sequence[RunSummary]


def star(runs: Runs, on: bool) -> Done:
    return _change(runs, partial(annotate, star=on), "Starred" if on else "Removed the star of")


def archive(runs: Runs, on: bool) -> Done:
    verb = "Archived" if on else "Took out of the archive"
    done = _change(runs, partial(annotate, archived=on), verb)
    return replace(done, undo=partial(archive, runs, not on))


def rename(runs: Runs, title: str) -> Done:
    return _change(runs, partial(annotate, title=title.strip()), "Renamed")


def write_note(runs: Runs, note: str) -> Done:
    return _change(runs, partial(annotate, note=note.strip()), "Changed the note of")


def tag(runs: Runs, add: frozenset[str], remove: frozenset[str]) -> Done:
    return _change(runs, partial(change_tags, add=add, remove=remove), "Tagged")


def trash(runs: Runs) -> Done:
    """Move runs to the desktop's trash, but none that is being trained."""
    moved: list[tuple[Path, Path]] = []

    def move(folder: Path) -> None:
        delete_run(folder, lambda path: moved.append((folder, _move_to_trash(path))))

    done = _change(runs, move, "Moved to the trash:")
    return replace(done, undo=partial(_put_back, moved) if moved else None)


def _change(runs: Runs, change: Callable[[Path], object], verb: str) -> Done:
    changed, problems = [], []
    for run in runs:
        try:
            change(run.folder)
        except RunError as error:
            problems.append(str(error))
        else:
            changed.append(run)
    return Done(f"{verb} {_named(changed)}.", problems=tuple(problems))


def _move_to_trash(folder: str) -> Path:
    """Where the folder is in the trash. Raises OSError if it cannot be moved there."""
    data = QStandardPaths.StandardLocation.GenericDataLocation
    # Qt makes the trash, but not the folder that it is in.
    Path(QStandardPaths.writableLocation(data)).mkdir(parents=True, exist_ok=True)
    file = QFile(folder)
    moved: bool = file.moveToTrash()
    if not moved:
        raise OSError(0, file.errorString(), folder)
    return Path(file.fileName())


def _put_back(moved: Sequence[tuple[Path, Path]]) -> Done:
    back, problems = [], []
    for folder, where in moved:
        try:
            if folder.exists():
                raise FileExistsError(17, "there is another one now", str(folder))
            shutil.move(where, folder)
        except OSError as error:
            problems.append(explain(error, f"{printable(folder.name)} could not be put back"))
            continue
        back.append(folder)
        with suppress(OSError):  # what the trash says of it; other systems than Linux have none
            (where.parent.parent / "info" / f"{where.name}.trashinfo").unlink()
    return Done(f"Put back {_counted(len(back))}.", problems=tuple(problems))


def _named(runs: Runs) -> str:
    return printable(runs[0].title) if len(runs) == 1 else _counted(len(runs))


def _counted(count: int) -> str:
    return "1 run" if count == 1 else f"{count:,} runs"


def parse_tags(text: str) -> set[str]:
    """The tags of a text, with commas between them."""
    return {one.strip() for one in text.split(",")} - {""}
