"""A zip for a report of an error: versions, log and settings, and nothing that names the user."""

from __future__ import annotations

import getpass
import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import IO
from zipfile import ZIP_DEFLATED, ZipFile

from lbc.files.home import expanded
from lbc.files.log_file import log_path

PRIVATE = ("files", "servers", "runs")
"""Sections of the settings that name files and computers."""

SHORTEST = 3
"""Letters of a name that is replaced inside other words too."""


def write_diagnostics(file: IO[bytes], versions: Mapping[str, str], settings: Path) -> None:
    """Write the zip. Raises OSError if it, or a file that goes into it, cannot be accessed."""
    members = {"versions.txt": "".join(f"{name}: {one}\n" for name, one in versions.items())}
    log = log_path()
    for part in sorted(log.parent.glob(f"{log.name}*")):
        members[part.name] = _read(part)
    if settings.is_file():
        members["settings.ini"] = _without_private(_read(settings))
    with ZipFile(file, "w", ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, anonymous(text))


def anonymous(text: str) -> str:
    """Replace the home folder, and the names of the user and of this computer."""
    home, host = expanded("~"), platform.node()
    names = {str(home): "~", str(home.resolve()): "~", home.as_posix(): "~"}
    names |= {host: "<host>", host.partition(".")[0]: "<host>", _user(): "<user>"}
    names |= {home.name: "<user>"}
    for name in sorted(filter(None, names), key=len, reverse=True):
        pattern = re.escape(name)
        if len(name) < SHORTEST:
            pattern = rf"(?<!\w){pattern}(?!\w)"
        if name != "/":
            text = re.sub(pattern, names[name], text, flags=re.IGNORECASE)
    return text


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="backslashreplace")


def _without_private(settings: str) -> str:
    """Drop the sections that name files and computers."""
    kept, shown = [], True
    for line in settings.splitlines(keepends=True):
        if line.startswith("["):
            shown = line.strip()[1:-1] not in PRIVATE
        if shown:
            kept.append(line)
    return "".join(kept)
