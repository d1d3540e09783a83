"""What ``lbc`` prints: any text, on any terminal, pipe or file, without an error.

Names and paths come from outside. They are printed as they are, without rich's markup and emoji;
characters that control a terminal or reverse the text, and those that the encoding lacks, are
replaced.
"""

from __future__ import annotations

import argparse
import codecs
import io
import os
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

import rich.console
from rich.segment import Segment
from rich.text import Text

from lbc.files.home import expanded
from lbc.files.printable import printable

PIPE_WIDTH = 200
"""Width of tables in a pipe or file."""

_ASCII = {
    "×": "x", "−": "-", "–": "-", "—": "-", "±": "+/-", "→": "->", "←": "<-", "…": "...", "·": "*",
    "≤": "<=", "≥": ">=", "≠": "!=", "µ": "u", "β": "beta", "²": "^2", "³": "^3", "’": "'",
    "✓": "v", "■": "#", "□": ".", "∈": "in",
}  # fmt: skip


def prepare_streams() -> None:
    """Let standard output and error accept every character, and exist; make warnings printable."""
    codecs.register_error("ascii_signs", _ascii_signs)
    warnings.formatwarning = lambda message, *_: f"Warning: {_lines(str(message))}\n"
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="ascii_signs")


def flush_streams() -> None:
    """Flush the streams; one that fails is replaced, as Python would complain at exit."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with open(os.devnull, "w") as nowhere:  # noqa: PTH123
                os.dup2(nowhere.fileno(), stream.fileno())


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
        return _lines(text).encode(self.encoding, "ascii_signs").decode(self.encoding)


class Parser(argparse.ArgumentParser):
    """A parser that expands ``~`` in paths, and whose errors quote arguments printably."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.register("type", Path, expanded)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        parsed, rest = super().parse_known_args(args, namespace)
        for action in self._actions:
            # argparse drops the value "--" and stores an empty list in its place.
            alone = action.option_strings and action.nargs is None and action.default != []
            if alone and getattr(parsed, action.dest, None) == []:
                self.error(f"argument {action.option_strings[0]}: -- is not a value")
        return parsed, rest

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        super().exit(status, message and _lines(message))


def _lines(text: str) -> str:
    return printable(text, keep="\n")


def _ascii_signs(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    signs = (_ASCII.get(one) or one.encode("ascii", "backslashreplace").decode() for one in missing)
    return "".join(signs), error.end
