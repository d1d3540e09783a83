"""From a run folder to one HTML file."""

from __future__ import annotations

import threading
from pathlib import Path

from lbc.files.atomic import write_atomically
from lbc.report.contents import read_run
from lbc.report.page import page


def write_report(run_folder: Path, out: Path, cancel: threading.Event | None = None) -> None:
    """Write the report of a run, however it ended, as one HTML file to ``out``.

    Raises ReportError if the folder holds no run or a file of it is damaged, ReportCancelled once
    ``cancel`` is set, and OSError if a file cannot be read or written; ``out`` is then unchanged.
    """
    text = page(read_run(run_folder, cancel), cancel).encode("utf-8", "replace")
    write_atomically(out, lambda file: file.write(text))
