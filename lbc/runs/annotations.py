"""``library.json``: what the user has written about a run. Training does not read it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError

from lbc.files.append_file import open_to_append
from lbc.files.atomic import write_atomically
from lbc.files.lock import LOCK_TIMEOUT_SECONDS, lock
from lbc.files.os_errors import explain
from lbc.files.small_file import read_small
from lbc.runs.new_folder import ANNOTATIONS
from lbc.runs.run_state import RunError

SIZE_LIMIT = 1 << 20

Text = Annotated[str, Field(max_length=1 << 16)]


def _sorted_tags(tags: object) -> object:
    return tuple(sorted(set(map(str, tags)))) if isinstance(tags, list | tuple) else tags


Tags = Annotated[tuple[Text, ...], BeforeValidator(_sorted_tags)]


@dataclass(frozen=True)
class Annotations:
    """``title`` replaces the name of the run in lists; ``group`` is the variation it belongs to."""

    title: Text = ""
    tags: Tags = ()
    star: bool = False
    note: Text = ""
    archived: bool = False
    group: Text = ""


_DOCUMENT = TypeAdapter(Annotations)


def read_annotations(folder: Path) -> Annotations:
    """The annotations of the run in a folder, empty if it has none.

    Raises RunError if they cannot be read.
    """
    file = folder / ANNOTATIONS
    try:
        return _DOCUMENT.validate_json(read_small(file, SIZE_LIMIT))
    except FileNotFoundError:
        return Annotations()
    except OSError as error:
        raise RunError(explain(error, f"{file} cannot be read")) from error
    except ValidationError as error:
        raise RunError(f"{file} is damaged: correct it or delete it.") from error


def change_annotations(folder: Path, change: Callable[[Annotations], Annotations]) -> Annotations:
    """Replace the annotations by ``change`` of them, one process at a time; return the new ones.

    Raises RunError if they cannot be read, and OSError if they cannot be written.
    """
    with open_to_append(folder / f".{ANNOTATIONS}.lock") as guard:
        if not lock(guard, LOCK_TIMEOUT_SECONDS):
            raise BlockingIOError(11, "another program is writing it", str(folder / ANNOTATIONS))
        changed = change(read_annotations(folder))
        document = _DOCUMENT.dump_json(_DOCUMENT.validate_python(asdict(changed)), indent=2)
        write_atomically(folder / ANNOTATIONS, lambda file: file.write(document + b"\n"))
    return changed
