"""Where a worker runs: a process here, or one on a server reached through the system's ssh."""

from __future__ import annotations

import base64
import json
import shlex
import sys
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lbc.latency import worker

SSH_OPTIONS = (
    "-T",
    "-o", "BatchMode=yes",
    "-o", "ConnectTimeout=10",
    "-o", "ServerAliveInterval=5",
    "-o", "ServerAliveCountMax=3",
    "-o", "ControlMaster=no",
)  # fmt: skip
"""Never ask, give up on silence: a window has no terminal to type a password into. An open shared
connection is used and none is left behind, which would hold the pipes open."""

_BOOT = "import sys;b=sys.stdin.buffer;exec(compile(b.read(int(b.readline())),'worker.py','exec'))"
"""Reads the worker's source from standard input, whose rest is the job: a trained mask is larger
than what fits on a command line."""


@dataclass(frozen=True)
class Place:
    """This machine, or ``host`` as ssh knows it; ``python`` is the interpreter that has torch."""

    host: str = ""
    python: str = ""

    def __post_init__(self) -> None:
        if self.host.startswith("-") or any(character.isspace() for character in self.host):
            raise ValueError(f"{self.host!r} is no host: write it as ssh does, like user@server.")

    @property
    def remote(self) -> bool:
        return bool(self.host)

    @property
    def name(self) -> str:
        return self.host or "this machine"

    def command(self, *arguments: str) -> list[str]:
        """The process to start."""
        if not self.remote:
            return [self.python or sys.executable, "-u", str(_source_path()), *arguments]
        started = [self.python or "python3", "-u", "-c", _BOOT, *arguments]
        return ["ssh", *SSH_OPTIONS, self.host, shlex.join(started)]

    def opening(self) -> bytes:
        """What the process reads before its job."""
        if not self.remote:
            return b""
        source = _source_path().read_bytes()
        return b"%d\n%s" % (len(source), source)


HERE = Place()


def command_for_server(
    job: Mapping[str, Any], result: str = "latency.ndjson", python: str = "python3"
) -> str:
    """One line to paste into a shell on a server that this machine cannot reach.

    It needs nothing there but Python and torch; the file it writes is what Import reads.
    """
    source = zlib.compress(_source_path().read_bytes(), 9)
    packed = base64.b64encode(source).decode()
    # Piped by the shell itself: as an argument a job with masks would be longer than is allowed.
    told = json.dumps({**job, "keep": None, "orphan": "stay"})
    program = f"import base64,zlib;exec(zlib.decompress(base64.b64decode('{packed}')))"
    worker = f"{shlex.quote(python)} -c {shlex.quote(program)} -"
    return f"printf '%s\\n' {shlex.quote(told)} | {worker} > {shlex.quote(result)}"


def _source_path() -> Path:
    return Path(worker.__file__)
