"""The ``lbc-gui`` command, also as ``python -m lbc_gui``."""

from __future__ import annotations

import gc
import signal
import sys
from importlib import import_module

from lbc.__main__ import leave


def main() -> int:
    """Import and run the command; Ctrl-C ends it at once until there is a window to close."""
    signal.signal(signal.SIGINT, leave)
    gc.disable()  # modules are no garbage; later the window collects, in its own thread
    import_module("lbc.files.log_file").start_log("lbc-gui")
    status: int = import_module("lbc_gui.app").main()
    return status


if __name__ == "__main__":
    sys.exit(main())
