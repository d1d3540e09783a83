"""``lbc report``: write a run as a single HTML file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from lbc.cli.console import Console
from lbc.cli.new_file import require_new

DONE, INVALID_INPUT = 0, 2

FILE = "report.html"
"""Default file name of the report, in the run folder."""


def add_parser(commands: Any) -> None:
    """Add ``report`` to the commands."""
    parser = commands.add_parser("report", help="write a run as a single HTML file")
    parser.add_argument("run", type=Path, metavar="RUN", help="run folder, finished or not")
    parser.add_argument(
        "--out", type=Path, metavar="FILE.html", help=f"new file (default: {FILE} in RUN)"
    )


def command(options: argparse.Namespace, errors: Console) -> int:
    """Write the report and print its path; return the exit status."""
    from lbc.report.contents import ReportError
    from lbc.report.page import write_report

    out: Path = options.out or options.run / FILE
    try:
        require_new(options.out, "--out")
        write_report(options.run, out)
    except (ReportError, ValueError) as error:
        errors.print(str(error))
        return INVALID_INPUT
    Console().print(f"Report: {out}")
    return DONE
