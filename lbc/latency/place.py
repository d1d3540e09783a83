"""Where a worker runs: on this machine, or on a server through the system's ssh."""

from __future__ import annotations

import base64
import json
import re
import shlex
import sys
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lbc.files.home import expanded
from lbc.latency import worker

SSH_OPTIONS = (
    "-T",
    "-o", "BatchMode=yes",
    "-o", "ConnectTimeout=10",
    "-o", "ServerAliveInterval=5",
    "-o", "ServerAliveCountMax=3",
    "-o", "ControlMaster=no",
)  # fmt: skip
"""No prompts, because a window has no terminal for a password, and a timeout without an answer.
An existing shared connection is used, but none is created: it would keep the pipes open."""

_BOOT = "import sys;b=sys.stdin.buffer;exec(compile(b.read(int(b.readline())),'worker.py','exec'))"
"""Reads the worker's source from standard input; the job follows there too, because a trained mask
is too large for a command line."""


@dataclass(frozen=True)
class Place:
    """This machine, or the ssh host ``host``; ``python`` is an interpreter with torch."""

    host: str = ""
    python: str = ""

    def __post_init__(self) -> None:
        if self.host.startswith("-") or " " in self.host or not self.host.isprintable():
            raise ValueError(
                f"{self.host!r} is not a host: write it as for ssh, such as user@server."
            )

    @property
    def remote(self) -> bool:
        return bool(self.host)

    @property
    def name(self) -> str:
        return self.host or "this machine"

    def command(self, *arguments: str) -> list[str]:
        """Return the command that starts the worker."""
        if not self.remote:
            python = str(expanded(self.python or sys.executable))
            return [python, "-u", str(_source_path()), *arguments]
        remote = shlex.join(["-u", "-c", _BOOT, *arguments])
        return ["ssh", *SSH_OPTIONS, self.host, f"{_quoted(self.python or 'python3')} {remote}"]

    def opening(self) -> bytes:
        """Return the bytes that the process reads before its job."""
        if not self.remote:
            return b""
        source = _source_path().read_bytes()
        return b"%d\n%s" % (len(source), source)


HERE = Place()


def command_for_server(
    job: Mapping[str, Any], result: str = "latency.ndjson", python: str = "python3"
) -> str:
    """Return a shell line to paste on a server that this machine cannot reach.

    It needs only Python and torch there, and writes a file that can be imported here.
    """
    source = zlib.compress(_source_path().read_bytes(), 9)
    packed = base64.b64encode(source).decode()
    # Pipe the job: with masks it exceeds the maximum length of an argument.
    text = json.dumps({**job, "keep": None, "orphan": "stay"})
    program = f"import base64,zlib;exec(zlib.decompress(base64.b64decode('{packed}')))"
    worker = f"{_quoted(python)} -c {shlex.quote(program)} -"
    return f"printf '%s\\n' {shlex.quote(text)} | {worker} > {shlex.quote(result)}"


def _quoted(python: str) -> str:
    """Quote a path for a shell, which is to expand its ``~`` or ``~user``."""
    home, slash, rest = python.partition("/")
    if slash and re.fullmatch(r"~[\w.-]*", home, re.ASCII):
        return f"{home}/{shlex.quote(rest)}"
    return shlex.quote(python)


def _source_path() -> Path:
    return Path(worker.__file__)
