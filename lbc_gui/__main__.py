"""The ``lbc-gui`` command, also as ``python -m lbc_gui``."""

from __future__ import annotations

import sys

from lbc.__main__ import import_interruptibly


def main() -> int:
    """Import and run the command; Ctrl-C ends it with status 130 at any time."""
    status: int = import_interruptibly("lbc_gui.app").main()
    return status


if __name__ == "__main__":
    sys.exit(main())
