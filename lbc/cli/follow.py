"""``lbc follow``: send a run to a viewer that started this command over ssh.

Speaks the protocol of ``lbc.following.messages`` over its standard input and output, and ends when
the viewer has gone. Exit status: 0; 2 if what is sent could not be read.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from lbc.cli.console import Console
from lbc.files.priority import NICENESS, give_way

DONE, INVALID_INPUT = 0, 2


def add_parser(commands: Any) -> None:
    """Add ``follow`` to the commands."""
    follow = commands.add_parser(
        "follow", help="send a run to lbc-gui ssh://user@server/RUN, which starts this over ssh"
    )
    follow.add_argument("run", type=Path, metavar="RUN", help="the folder of the run")


def command(options: argparse.Namespace, errors: Console) -> int:
    """Send the run until the viewer has gone; return the exit status."""
    if sys.stdin.isatty() or sys.stdout.isatty():
        errors.print(
            "This command talks to a window: open the run with "
            f"lbc-gui ssh://user@server{options.run.absolute()}, which starts it over ssh."
        )
        return INVALID_INPUT
    from lbc.following.server import Server

    give_way(NICENESS)  # training has the processor first
    # Unbuffered: at the end of the process a thread may still wait for input.
    with open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as unbuffered:
        Server(options.run, unbuffered, sys.stdout.buffer).serve()
    return DONE
