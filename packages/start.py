"""What the executables of the one-folder build run.

The file name decides between ``lbc`` and the window. Inside the folder there is no other Python, so
each executable also serves as the interpreter that lbc starts its processes with: ``-m MODULE`` and
a path of a script are run as ``python`` runs them.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import sys
from pathlib import Path


def main() -> int:
    """Run the command, or what an interpreter would run, and return the exit status."""
    multiprocessing.freeze_support()
    _restore_library_path()
    arguments = sys.argv[1:]
    while arguments[:1] in (["-u"], ["-P"]):
        del arguments[0]
    if arguments[:1] == ["-m"]:
        sys.argv[1:] = arguments[2:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        return 0
    if arguments[:1] and arguments[0].endswith(".py"):
        sys.argv = arguments
        runpy.run_path(arguments[0], run_name="__main__")
        return 0
    if Path(sys.executable).stem == "lbc":
        from lbc.__main__ import main as command
    else:
        from lbc_gui.__main__ import main as command
    return command()


def _restore_library_path() -> None:
    """Let ssh and the like load the system's libraries, not those of the folder."""
    before = os.environ.pop("LD_LIBRARY_PATH_ORIG", None)
    if before is not None:
        os.environ["LD_LIBRARY_PATH"] = before
    else:
        os.environ.pop("LD_LIBRARY_PATH", None)


if __name__ == "__main__":
    sys.exit(main())
