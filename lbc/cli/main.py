"""The ``lbc`` command.

Exit status: 0 done, 1 failed, pattern broken or checkpoints different, 2 wrong input, 130 stopped.
Under torchrun every process runs the same command; the first one writes and speaks.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from lbc.cli import compare, data, export, inspect, latency, layers, report, train
from lbc.config.strict_yaml import ExperimentError
from lbc.files.resources import resource

COMMANDS = {
    "train": train,
    "export": export,
    "inspect": inspect,
    "compare": compare,
    "layers": layers,
    "report": report,
    "data": data,
    "latency": latency,
}
FAILED, WRONG_INPUT, STOPPED = 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; problems become sentences on standard error."""
    options = _parser().parse_args(arguments)
    errors = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)
    try:
        status: int = COMMANDS[options.command].command(options, errors)
        return status
    except ExperimentError as error:
        errors.print(str(error))
        return WRONG_INPUT
    except BrokenPipeError:
        return FAILED
    except OSError as error:
        errors.print(f"{error.filename or 'The disk'}: {error.strerror or error}.")
        return FAILED
    except KeyboardInterrupt:
        return STOPPED


def example() -> Path:
    """The bundled quick example."""
    return resource("experiments/digits.yaml")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lbc", description="N:M sparse training with LBC.")
    commands = parser.add_subparsers(dest="command", required=True)
    for command in COMMANDS.values():
        command.add_parser(commands)
    return parser
