"""What ``lbc`` prints: any text, on any terminal, pipe or file, without an error.

Names and paths come from outside. They are printed as they are, without rich's markup and emoji;
characters that control a terminal or reverse the text, and those that the encoding lacks, are
replaced.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import rich.console
from rich.segment import Segment
from rich.text import Text

from lbc.cli.streams import printable_lines

PIPE_WIDTH = 200
"""Width of tables in a pipe or file."""


class Console(rich.console.Console):
    """A rich console that prints text as it is, except for what ``printable`` replaces."""

    def __init__(self, *, stderr: bool = False, soft_wrap: bool = True) -> None:
        terminal = (sys.stderr if stderr else sys.stdout).isatty()
        super().__init__(
            stderr=stderr, soft_wrap=soft_wrap, highlight=False, markup=False, emoji=False,
            width=None if terminal or soft_wrap else PIPE_WIDTH,
        )  # fmt: skip

    def render_str(self, text: str, **style: Any) -> Text:
        # Before the layout, so that columns are as wide as what is printed.
        return super().render_str(self._replace(text), **style)

    def render(self, *what: Any) -> Iterable[Segment]:
        for segment in super().render(*what):
            yield segment if segment.control else segment._replace(text=self._replace(segment.text))

    def _replace(self, text: str) -> str:
        return printable_lines(text).encode(self.encoding, "ascii_signs").decode(self.encoding)
