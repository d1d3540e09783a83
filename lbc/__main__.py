"""The ``lbc`` command, also as ``python -m lbc``; torchrun starts it this way."""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module
from types import FrameType

INTERRUPTED = 130


def main() -> int:
    """Import and run the command; Ctrl-C ends it with status 130 at any time."""
    # An exception in the middle of an import, which takes a while, could end in a traceback.
    before = signal.signal(signal.SIGINT, leave)
    command = import_module("lbc.cli.main")
    command.load_commands(sys.argv[1:])
    signal.signal(signal.SIGINT, before)
    import_module("lbc.files.log_file").start_log("lbc")
    status: int = command.main()
    return status


def leave(_signal: int, _frame: FrameType | None) -> None:
    """Handle a signal by ending the process at once."""
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    sys.exit(main())
