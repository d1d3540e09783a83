"""The interventions of a user in a run, one JSON line each: interventions.jsonl.

The file is created at the first intervention.
"""

from __future__ import annotations

import json
from collections import deque
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from pydantic import TypeAdapter

from lbc.files.append_file import AppendFile
from lbc.files.atomic import write_atomically
from lbc.files.small_file import read_small
from lbc.runs.events import Intervened, Intervention, Steering

FILE = "interventions.jsonl"
SIZE_LIMIT = 1 << 26

_LINES = TypeAdapter(Intervened)


class InterventionLog:
    """Appends to the interventions of a run; for one writer, which holds the run's lock."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.count = 0
        self._later: deque[Intervened] = deque()

    def resume(self, count: int, step: int) -> None:
        """Continue after the first ``count``; ``due`` returns the later ones, from ``step`` on.

        Raises ValueError if there are fewer.
        """
        lines = _whole_lines(self._path)
        if len(lines) < count:
            raise ValueError(
                f"{self._path} holds {len(lines)} interventions, but {count} are needed."
            )
        later = read_interventions(self._path.parent)[count:]
        self.count, self._later = count, deque(one for one in later if one.step >= step)
        if lines or self._path.exists():
            self._write(lines[:count])

    def due(self, step: int) -> Intervention | Steering | None:
        """Remove and return the next that the run had logged before it was cut off, or None.

        It stays in the file until another is appended in its place.
        """
        later = self._later
        return later.popleft().intervention if later and later[0].step <= step else None

    def append(self, done: Intervened) -> None:
        """Write one line to the disk. Raises OSError, leaving only whole lines, if it is full."""
        self._write([*_whole_lines(self._path)[: self.count], _line(done)])
        self.count += 1

    def _write(self, lines: list[bytes]) -> None:
        """Make the file consist of ``lines`` and those that are to be repeated."""
        old = read_small(self._path, SIZE_LIMIT) if self._path.exists() else b""
        new = b"".join([*lines, *map(_line, self._later)])
        if new == old:
            return
        if new.startswith(old):
            with closing(AppendFile(self._path)) as file:
                file.append(new[len(old) :], sync=True)
        else:
            write_atomically(self._path, lambda file: file.write(new))


def _line(done: Intervened) -> bytes:
    return (json.dumps(asdict(done)) + "\n").encode()


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


def copy_interventions(source: Path, target: Path, count: int) -> None:
    """Copy the first ``count`` of a run to another folder, if any. Raises OSError."""
    if count:
        (target / FILE).write_bytes(b"".join(_whole_lines(source / FILE)[:count]))


def _whole_lines(path: Path) -> list[bytes]:
    if not path.exists():
        return []
    lines = read_small(path, SIZE_LIMIT).splitlines(keepends=True)
    return lines if not lines or lines[-1].endswith(b"\n") else lines[:-1]
