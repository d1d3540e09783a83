"""The ``lbc`` command.

Exit status: 0 success, 1 failure, pattern violated or checkpoints different, 2 invalid input, 130
interrupted. Under torchrun every process runs the same command; only rank 0 writes and prints.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from importlib import import_module
from types import ModuleType

from lbc.cli.console import Console
from lbc.cli.streams import (
    Parser,
    ShowVersion,
    flush_streams,
    outliving_reader,
    prepare_streams,
)
from lbc.config.strict_yaml import ExperimentError
from lbc.files.os_errors import explain

COMMANDS = (
    "train", "prune", "follow", "export", "inspect", "compare", "layers", "allocate", "queue",
    "runs", "report", "data", "latency",
)  # fmt: skip
"""The modules of this package with a command each."""

TRAINING = (["train"], ["compare"], ["follow"])
"""Commands that stop when the reader of their output has gone: training takes long."""

FAILED, INVALID_INPUT, STOPPED = 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; errors are printed to standard error."""
    prepare_streams()
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        with nullcontext() if arguments[:1] in TRAINING else outliving_reader():
            return _run(arguments, Console(stderr=True))
    finally:
        flush_streams()


def _run(arguments: Sequence[str], errors: Console) -> int:
    try:
        options = _parse(arguments)
        status: int = import_module(f"lbc.cli.{options.command}").command(options, errors)
        sys.stdout.flush()
        return status
    except ExperimentError as error:
        errors.print(str(error))
        return INVALID_INPUT
    except BrokenPipeError:
        return FAILED
    except OSError as error:
        errors.print(explain(error, f"{error.filename or 'The output'} failed"))
        return FAILED
    except KeyboardInterrupt:
        return STOPPED


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    try:
        return _parser(arguments).parse_args(arguments)
    except SystemExit:  # a help or a version has been printed, perhaps only into the buffer
        sys.stdout.flush()
        raise


def load_commands(arguments: Sequence[str]) -> tuple[ModuleType, ...]:
    """Import the module of the command that is called, or of every one if it is none of them."""
    if arguments[:1] == ["--version"]:
        return ()
    chosen = [name for name in COMMANDS if name in arguments[:1]]
    return tuple(import_module(f"lbc.cli.{name}") for name in chosen or COMMANDS)


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    parser = Parser(prog="lbc", description="N:M sparse training with LBC.")
    parser.add_argument("--version", action=ShowVersion)
    commands = parser.add_subparsers(
        dest="command", required=True, metavar=f"{{{','.join(COMMANDS)}}}"
    )
    for command in load_commands(arguments):
        command.add_parser(commands)
    return parser
