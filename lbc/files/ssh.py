"""The system's ssh: its options, and what its command line may contain."""

from __future__ import annotations

import re
import shlex

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

SSH_FAILED = 255
COMMAND_NOT_FOUND = 127


def check_host(host: str) -> None:
    """Raises ValueError if ssh would not take ``host``, such as ``user@server``, for a host."""
    parts = host.split("@")
    if any(part.startswith("-") for part in parts) or " " in host or not host.isprintable():
        raise ValueError(f"{host!r} is not a host: write it as for ssh, such as user@server.")


def quote_path(path: str) -> str:
    """Quote a path for a shell, which is to expand its ``~`` or ``~user``."""
    home, slash, rest = path.partition("/")
    if slash and re.fullmatch(r"~[\w.-]*", home, re.ASCII):
        return f"{home}/{shlex.quote(rest) if rest else ''}"
    return shlex.quote(path)
