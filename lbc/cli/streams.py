"""Standard output and error that accept any text, and a parser whose errors are printable.

Without rich, which would delay the start of the window.
"""

from __future__ import annotations

import argparse
import codecs
import io
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from lbc.files.home import expanded
from lbc.files.printable import printable
from lbc.files.versions import own_version

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, SupportsWrite

_ASCII = {
    "×": "x", "−": "-", "–": "-", "—": "-", "±": "+/-", "→": "->", "←": "<-", "…": "...", "·": "*",
    "≤": "<=", "≥": ">=", "≠": "!=", "µ": "u", "β": "beta", "²": "^2", "³": "^3", "’": "'",
    "✓": "v", "■": "#", "□": ".", "∈": "in",
}  # fmt: skip


def prepare_streams() -> None:
    """Let standard output and error accept every character, and exist; make warnings printable."""
    codecs.register_error("ascii_signs", _ascii_signs)
    warnings.formatwarning = lambda message, *_: f"Warning: {printable_lines(str(message))}\n"
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


class _Outlet(io.FileIO):
    """Standard output that drops what is written after its reader has gone."""

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data) or 0
        except BrokenPipeError:
            return memoryview(data).nbytes


@contextmanager
def outliving_reader() -> Iterator[None]:
    """Let a command end as it would have, with its files and status, also before ``| head``.

    Else both would depend on how much was printed by the time at which the reader went.
    """
    stream: object = sys.stdout
    if not isinstance(stream, io.TextIOWrapper) or not isinstance(
        getattr(stream.buffer, "raw", stream.buffer),  # itself with python -u
        io.FileIO,
    ):
        yield
        return
    outlet = io.BufferedWriter(_Outlet(stream.fileno(), "wb", closefd=False))
    lines = stream.line_buffering or stream.write_through
    sys.stdout = io.TextIOWrapper(outlet, stream.encoding, "ascii_signs", line_buffering=lines)
    try:
        yield
    finally:
        flush_streams()
        sys.stdout = stream


class Parser(argparse.ArgumentParser):
    """A parser that expands ``~`` in paths, and whose errors quote arguments printably."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.register("type", Path, named_path)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        parsed, rest = super().parse_known_args(args, namespace)
        for action in self._actions:
            # argparse drops the value "--" and stores an empty list in its place.
            alone = action.option_strings and action.nargs is None and action.default != []
            if alone and getattr(parsed, action.dest, None) == []:
                self.error(f"argument {action.option_strings[0]}: -- is not a value")
        return parsed, rest

    def print_help(self, file: SupportsWrite[str] | None = None) -> None:
        """Print the help; argparse would not raise OSError where that fails."""
        (sys.stdout if file is None else file).write(self.format_help())

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        super().exit(status, message and printable_lines(message))


def named_path(text: str) -> Path:
    """The path that an argument names; an empty one would mean the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("the path is empty: name a file or folder")
    return expanded(text)


class ShowVersion(argparse.Action):
    """``--version``: prints the name of the command and the version, and ends the process."""

    def __init__(self, option_strings: list[str], dest: str) -> None:
        super().__init__(option_strings, dest, nargs=0, help="print the version and exit")

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(parser.prog, own_version())
        parser.exit()


def printable_lines(text: str) -> str:
    """``printable`` text of several lines."""
    return printable(text, keep="\n")


def _ascii_signs(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    signs = (_ASCII.get(one) or one.encode("ascii", "backslashreplace").decode() for one in missing)
    return "".join(signs), error.end
