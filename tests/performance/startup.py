"""Time from the start of the process until the window is painted and until Run is enabled.

DISPLAY=:0 python tests/performance/startup.py --rounds 5
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from statistics import median

CHILD = """
import gc, sys, time
gc.disable()  # as lbc_gui.__main__ does first
from lbc_gui import app

show_window = app.show_window

def show_watched_window(*arguments):
    from PySide6.QtCore import QEvent, QObject
    from lbc_gui.window import main_window
    from lbc_gui.run.session import State

    class FirstPaint(QObject):
        seen = False
        def eventFilter(self, watched, event):
            if not self.seen and event.type() == QEvent.Type.Paint:
                self.seen = True
                print(time.time(), flush=True)
            return False

    class WatchedWindow(main_window.MainWindow):
        def begin(self, *arguments, **more):
            self.first = FirstPaint()
            self.centralWidget().installEventFilter(self.first)
            self.session.state_changed.connect(self.close_when_ready)
            super().begin(*arguments, **more)

        def close_when_ready(self, state):
            if state is State.READY:
                print(time.time(), flush=True)
                self.close()

    main_window.MainWindow = WatchedWindow
    return show_window(*arguments)

app.show_window = show_watched_window
sys.exit(app.main(["--runs", sys.argv[1]]))
"""
"""Runs the command with an instrumented window, without importing anything else."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    painted, ready = [], []
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}  # as when installed
    for _ in range(rounds + 1):  # the first fills the disk and bytecode caches
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-c", CHILD, f"{folder}/runs"]
            environment["XDG_CONFIG_HOME"] = folder
            started = time.time()
            done = subprocess.run(
                command, stdout=subprocess.PIPE, text=True, check=True, env=environment
            )
        first, second = (float(line) - started for line in done.stdout.split())
        painted.append(first)
        ready.append(second)
    print(
        json.dumps({
            "benchmark": "startup",
            "rounds": rounds,
            "first_paint_seconds": {"median": median(painted[1:]), "max": max(painted[1:])},
            "run_enabled_seconds": {"median": median(ready[1:]), "max": max(ready[1:])},
        })
    )  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
