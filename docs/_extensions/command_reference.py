"""The commands as Markdown, from the parsers that read them."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator

from lbc.cli.main import _parser as lbc_parser
from lbc_gui.app import _parser as window_parser


def commands() -> str:
    """Every command of ``lbc`` with its usage, arguments and options."""
    return "\n".join(_chapters(lbc_parser(())))


def window_command() -> str:
    """The same of ``lbc-gui``."""
    return "\n".join(_usage(window_parser()))


def parsers(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """The commands below a parser, each with the sentence that its parent has for it."""
    for group in parser._actions:
        if isinstance(group, argparse._SubParsersAction):
            said = {choice.dest: choice.help or "" for choice in group._choices_actions}
            yield from ((said[name], each) for name, each in group.choices.items())


def _chapters(parser: argparse.ArgumentParser, level: int = 2) -> Iterator[str]:
    for said, each in parsers(parser):
        yield f"{'#' * level} `{each.prog}`\n"
        yield f"{_plain(said[:1].upper() + said[1:])}.\n"
        yield from _usage(each)
        yield from _chapters(each, level + 1)


def _usage(parser: argparse.ArgumentParser) -> Iterator[str]:
    usage = parser.format_usage().rstrip().split("\n")
    yield "\n".join(["```text", *(line[len("usage: ") :] for line in usage), "```\n"])
    for action in parser._actions:
        hidden = isinstance(action, argparse._SubParsersAction | argparse._HelpAction)
        if not hidden and action.help != argparse.SUPPRESS:
            yield f"- `{_called(parser, action)}`{_explained(action)}"
    yield ""


def _called(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    values = parser._get_formatter()._format_args(action, action.dest.upper())
    if action.nargs == argparse.REMAINDER:
        values = str(action.metavar)
    return ", ".join(f"{name} {values}".strip() for name in action.option_strings) or values


def _explained(action: argparse.Action) -> str:
    said = (action.help or "") % vars(action)
    return f": {_plain(said)}" if said else ""


def _plain(said: str) -> str:
    return re.sub(r"([<*_])", r"\\\1", said)
