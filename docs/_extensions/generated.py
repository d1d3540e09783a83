"""Puts what is made from the code where a page says ``<!-- generated: NAME -->``."""

from __future__ import annotations

import re
from typing import Any

from docs._extensions import command_reference, experiment_reference

PARTS = {
    "commands": command_reference.commands,
    "window-command": command_reference.window_command,
    "experiment": experiment_reference.experiment,
    "data": experiment_reference.data_sources,
    "models": experiment_reference.models,
    "methods": experiment_reference.methods,
}


def fill(text: str) -> str:
    """A page with its generated parts. Raises KeyError for a part that does not exist."""
    return re.sub(r"<!-- generated: ([a-z-]+) -->", lambda found: PARTS[found[1]](), text)


def setup(app: Any) -> dict[str, bool]:
    def replace(_app: object, _page: str, source: list[str]) -> None:
        source[0] = fill(source[0])

    app.connect("source-read", replace)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
