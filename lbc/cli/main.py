"""The ``lbc`` command.

Exit status: 0 success, 1 failure, pattern violated or checkpoints different, 2 invalid input, 130
interrupted. Under torchrun every process runs the same command; only rank 0 writes and prints.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from lbc.cli import compare, data, export, inspect, latency, layers, queue, report, train
from lbc.cli.console import Console, Parser, flush_streams, prepare_streams
from lbc.config.strict_yaml import ExperimentError
from lbc.files.os_errors import explain

COMMANDS = {
    "train": train,
    "export": export,
    "inspect": inspect,
    "compare": compare,
    "layers": layers,
    "queue": queue,
    "report": report,
    "data": data,
    "latency": latency,
}
FAILED, INVALID_INPUT, STOPPED = 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; errors are printed to standard error."""
    prepare_streams()
    try:
        return _run(_parser().parse_args(arguments), Console(stderr=True))
    finally:
        flush_streams()


def _run(options: argparse.Namespace, errors: Console) -> int:
    try:
        status: int = COMMANDS[options.command].command(options, errors)
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


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="lbc", description="N:M sparse training with LBC.")
    commands = parser.add_subparsers(dest="command", required=True)
    for command in COMMANDS.values():
        command.add_parser(commands)
    return parser
