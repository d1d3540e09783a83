"""The address of a run on a server, such as ``ssh://user@server:2222/path/to/run``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from lbc.files.printable import printable
from lbc.files.ssh import SSH_OPTIONS, check_host, quote_path

SCHEME = "ssh://"
PYTHON = "python3"
EXAMPLE = "ssh://user@server/path/to/run"

_USER = re.compile(r"[\w.+][\w.+-]*", re.ASCII)
_HOST = re.compile(r"\w[\w.-]*|[0-9a-f:]*:[0-9a-f:.]*(%\w+)?", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class Address:
    """A run folder on an ssh host. ``python`` is an interpreter there that has lbc.

    ``path`` is absolute, or begins with ``~``. ``port`` is None where ssh is to decide.
    """

    host: str
    path: str
    user: str = ""
    port: int | None = None
    python: str = PYTHON

    @classmethod
    def parse(cls, text: str) -> Address:
        """Parse a URL; ``?python=PATH`` at its end names the interpreter.

        Raises ValueError, with a sentence, for anything else.
        """
        shown = printable(text[:200])
        try:
            parts = urlsplit(text)
            host, port, user = parts.hostname or "", parts.port, unquote(parts.username or "")
            query = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
        except ValueError as error:
            raise ValueError(
                f"{shown} is not an address: write it like {EXAMPLE}, with a port as in "
                "server:2222 and IPv6 in brackets."
            ) from error
        path = unquote(parts.path).removeprefix("/") if parts.path[:2] == "/~" else ""
        path = path or unquote(parts.path)
        python = query.pop("python", PYTHON)
        plain = text.isprintable() and text.startswith(SCHEME)
        if not plain or query or parts.fragment or parts.password is not None:
            raise ValueError(f"{shown} is not the address of a run: write it like {EXAMPLE}.")
        check_host(f"{user}@{host}" if user else host)
        if not _HOST.fullmatch(host) or (user and not _USER.fullmatch(user)):
            raise ValueError(f"{shown} names no host: write it like {EXAMPLE}.")
        if not path.strip("/") or not path.isprintable():
            raise ValueError(f"{shown} names no folder on {host}: write it like {EXAMPLE}.")
        if not python or python.startswith("-") or not python.isprintable():
            raise ValueError(f"{printable(python)!r} is not a path of Python: write ?python=PATH.")
        return cls(host, path.rstrip("/"), user, port, python)

    @property
    def name(self) -> str:
        """The name of the run folder."""
        return PurePosixPath(self.path).name

    @property
    def login(self) -> str:
        """What ssh connects to."""
        return f"{self.user}@{self.host}" if self.user else self.host

    @property
    def by_hand(self) -> str:
        """The command by which a user connects in a terminal."""
        port = "" if self.port is None else f"-p {self.port} "
        return f"ssh {port}{self.login}"

    @property
    def text(self) -> str:
        """The URL that ``parse`` accepts."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        user = f"{quote(self.user)}@" if self.user else ""
        port = f":{self.port}" if self.port is not None else ""
        path = quote(self.path, safe="/~") if self.path.startswith("/") else f"/{quote(self.path)}"
        python = "" if self.python == PYTHON else f"?python={quote(self.python, safe='/~')}"
        return f"{SCHEME}{user}{host}{port}{path}{python}"

    def command(self) -> list[str]:
        """The command that follows the run there."""
        port = [] if self.port is None else ["-p", str(self.port)]
        follow = f"{quote_path(self.python)} -u -m lbc follow {quote_path(self.path)}"
        return ["ssh", *SSH_OPTIONS, *port, "--", self.login, follow]
