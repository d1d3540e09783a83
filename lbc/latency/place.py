"""Where a worker runs: on this machine, or on a server through the system's ssh."""

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

from lbc.files.home import expanded
from lbc.files.ssh import SSH_OPTIONS, check_host, quote_path
from lbc.latency import worker

_BOOT = "import sys;b=sys.stdin.buffer;exec(compile(b.read(int(b.readline())),'worker.py','exec'))"
"""Reads the worker's source from standard input; the job follows there too, because a trained mask
is too large for a command line."""


@dataclass(frozen=True)
class Place:
    """This machine, or the ssh host ``host``; ``python`` is an interpreter with torch."""

    host: str = ""
    python: str = ""

    def __post_init__(self) -> None:
        check_host(self.host)

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
        return ["ssh", *SSH_OPTIONS, self.host, f"{quote_path(self.python or 'python3')} {remote}"]

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
    worker = f"{quote_path(python)} -c {shlex.quote(program)} -"
    return f"printf '%s\\n' {shlex.quote(text)} | {worker} > {shlex.quote(result)}"


def _source_path() -> Path:
    return Path(worker.__file__)
