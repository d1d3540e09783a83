"""The ``lbc`` command, also as ``python -m lbc``; torchrun starts it this way."""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module
from types import FrameType
from typing import Any

INTERRUPTED = 130


def main() -> int:
    """Import and run the command; Ctrl-C ends it with status 130 at any time."""
    status: int = import_interruptibly("lbc.cli.main").main()
    return status


def import_interruptibly(module: str) -> Any:
    """Import a module, which takes a while; Ctrl-C then ends the process without a traceback."""
    before = signal.signal(signal.SIGINT, _leave)
    imported = import_module(module)
    signal.signal(signal.SIGINT, before)
    return imported


def _leave(_signal: int, _frame: FrameType | None) -> None:
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    sys.exit(main())
