"""The interventions of a user in a run, one JSON line each: interventions.jsonl.

The file is created at the first intervention.
"""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from pydantic import TypeAdapter

from lbc.files.append_file import AppendFile
from lbc.files.small_file import read_small
from lbc.runs.events import Intervened

FILE = "interventions.jsonl"
SIZE_LIMIT = 1 << 26

_LINES = TypeAdapter(Intervened)


class InterventionLog:
    """Appends to the interventions of a run; for one writer, which holds the run's lock."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.count = 0

    def truncate(self, count: int) -> None:
        """Keep the first ``count`` only. Raises ValueError if there are fewer."""
        if not self._path.exists() and not count:
            return
        lines = _whole_lines(self._path)
        if len(lines) < count:
            raise ValueError(
                f"{self._path} holds {len(lines)} interventions, but {count} are needed."
            )
        with closing(AppendFile(self._path)) as file:
            file.truncate(sum(map(len, lines[:count])))
        self.count = count

    def append(self, done: Intervened) -> None:
        """Write one line to the disk. Raises OSError, leaving only whole lines, if it is full."""
        with closing(AppendFile(self._path)) as file:
            file.append((json.dumps(asdict(done)) + "\n").encode(), sync=True)
        self.count += 1


def read_interventions(folder: Path) -> tuple[Intervened, ...]:
    """The interventions of the run in a folder, oldest first, up to the first damaged line.

    Raises OSError if the file exists and cannot be read.
    """
    done = []
    for line in _whole_lines(folder / FILE):
        try:
            done.append(_LINES.validate_json(line))
        except ValueError:
            break
    return tuple(done)


def _whole_lines(path: Path) -> list[bytes]:
    if not path.exists():
        return []
    lines = read_small(path, SIZE_LIMIT).splitlines(keepends=True)
    return lines if not lines or lines[-1].endswith(b"\n") else lines[:-1]
