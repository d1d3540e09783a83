"""Seconds from the start of the process to the first painted window, and until Run is enabled.

DISPLAY=:0 python tests/performance/startup.py --rounds 5
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from statistics import median

CHILD = """
import sys, time
from pathlib import Path
from PySide6.QtCore import QEvent, QObject
from PySide6.QtWidgets import QApplication
from lbc.config import load_experiment
from lbc.resources import resource
from lbc_gui.display import why_no_window
from lbc_gui.main_window import MainWindow
from lbc_gui.session import State
from lbc_gui.settings import Settings

class FirstPaint(QObject):
    seen = False
    def eventFilter(self, watched, event):
        if not self.seen and event.type() == QEvent.Type.Paint:
            self.seen = True
            print(time.time(), flush=True)
        return False

why_no_window()
folder = Path(sys.argv[1])
application = QApplication([])
application.setStyle("Fusion")
experiment = load_experiment(resource("experiments/digits.yaml"))
window = MainWindow(experiment, folder / "runs", Settings(folder / "window.ini"))
first = FirstPaint()
window.centralWidget().installEventFilter(first)

def ready(state):
    if state is State.READY:
        print(time.time(), flush=True)
        window.close()

window.session.state_changed.connect(ready)
window.show()
window.begin()
application.exec()
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    painted, ready = [], []
    for _ in range(rounds + 1):  # the first fills the caches of disk and bytecode
        with tempfile.TemporaryDirectory() as folder:
            began = time.time()
            done = subprocess.run(
                [sys.executable, "-c", CHILD, folder], stdout=subprocess.PIPE, text=True, check=True
            )
        first, second = (float(line) - began for line in done.stdout.split())
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
