"""Paths below the home folder of a user."""

from __future__ import annotations

import os
from pathlib import Path


def expanded(path: str | Path) -> Path:
    """Replace a leading ``~`` or ``~user`` by that user's home folder, if there is such a user."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - pathlib's raises for unknown users


def shortened(path: str | Path) -> str:
    """The path with ``~`` for the home folder of the user, where it is below that."""
    home, text = str(expanded("~")), str(path)
    below = len(home) > 1 and (text == home or text.startswith(home.rstrip(os.sep) + os.sep))
    return "~" + text[len(home) :] if below else text
