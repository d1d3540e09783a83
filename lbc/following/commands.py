"""``commands.jsonl``: commands to the process that trains a run, a JSON line each."""

from __future__ import annotations

import errno
import json
import os
import secrets
import stat
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from lbc.files.small_file import open_regular
from lbc.runs.events import Command, Intervention, Steering

FILE = "commands.jsonl"
MOST_BYTES = 1 << 16
"""Bytes read at a time; of a file that has grown by more, only the end."""

Identity = Annotated[str, Field(min_length=1, max_length=64)]


@dataclass(frozen=True)
class CommandLine:
    """One command, for the training process with the token ``to``. No two have the same ``id``."""

    to: Identity
    id: Identity
    command: Command | Intervention | Steering
    version: Literal[1] = 1


_LINE = TypeAdapter(CommandLine)


def send(folder: Path, command: Command | Intervention | Steering, to: str) -> None:
    """Give a command to the process with the token ``to``, which trains the run in ``folder``.

    Raises OSError if it cannot be written.
    """
    append_line(folder, json.dumps(asdict(CommandLine(to, secrets.token_hex(8), command))))


def append_line(folder: Path, line: str) -> None:
    """Append what ``send`` writes, perhaps on another computer. Raises OSError."""
    # O_NOFOLLOW: the folder may be a stranger's, and a link could point to any file of the user.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    number = os.open(folder / FILE, flags | getattr(os, "O_NONBLOCK", 0), 0o666)
    try:
        found = os.fstat(number)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
            raise OSError(errno.EINVAL, "it is not a regular file", str(folder / FILE))
        # The first line break ends a line that a killed process may have left unfinished.
        os.write(number, f"\n{line}\n".encode())
    finally:
        os.close(number)


class CommandReader:
    """Returns every command to one training process once, whoever has written the file."""

    def __init__(self, folder: Path, token: str) -> None:
        self._path, self._token = folder / FILE, token
        self._end, self._inode = 0, 0
        self._seen: set[str] = set()

    def read(self) -> list[Command | Intervention | Steering]:
        """The commands since the last call, oldest first; none if the file cannot be read."""
        try:
            found = self._path.stat()
            if (found.st_ino, found.st_size) == (self._inode, self._end):
                return []
            data = self._read_from(self._end if found.st_ino == self._inode else 0)
        except OSError:
            return []
        self._inode = found.st_ino
        return [command for line in data.split(b"\n") if (command := self._parse(line))]

    def _read_from(self, start: int) -> bytes:
        """The whole lines from ``start`` on."""
        with open_regular(self._path, 1 << 62) as file:
            size = os.fstat(file.fileno()).st_size
            start = max(start if start <= size else 0, size - MOST_BYTES)
            file.seek(start)
            whole, newline, _ = file.read(MOST_BYTES).rpartition(b"\n")
        self._end = start + len(whole) + len(newline)
        return whole

    def _parse(self, line: bytes) -> Command | Intervention | Steering | None:
        if self._token.encode() not in line:  # the cheapest test of lines for others
            return None
        try:
            parsed = _LINE.validate_json(line)
        except ValidationError:
            return None
        if parsed.to != self._token or parsed.id in self._seen:
            return None
        self._seen.add(parsed.id)
        return parsed.command
