"""Seconds from the click on *Fork and train* to the first step of the fork, in the window.

DISPLAY=:0 python tests/performance/fork_window.py --rounds 5
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from lbc.config import load_experiment
from lbc.files.resources import resource
from lbc.runs.events import StepDone
from lbc.training.trainer import Trainer
from lbc_gui.run.fork_dialog import ForkDialog
from lbc_gui.settings import Settings
from lbc_gui.theme import set_up
from lbc_gui.window.main_window import MainWindow

EPOCHS = 3
"""Of the bundled example, which is forked at the end of the last but one."""

PATIENCE = 60.0


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        QApplication.processEvents()
        time.sleep(0.002)


def fork(window: MainWindow, parent: Path) -> float:
    """Fork a run with the mouse; seconds until the fork has taken a step on screen."""
    window.files.open_run(parent)
    until(lambda: window.session.folder == parent and window.view_state.view.fork_points)
    window.view_state.go_to(len(window.view_state.view.moments) // 2)
    window.timeline.fork.trigger()
    until(lambda: window.findChildren(ForkDialog))
    dialog = window.findChildren(ForkDialog)[-1]
    until(lambda: dialog.isVisible() and dialog.settled)
    dialog.form.enter("schedule.end", EPOCHS)
    until(lambda: dialog.settled)
    steps: list[float] = []
    window.session.events_arrived.connect(
        lambda events: steps.extend(time.monotonic() for e in events if isinstance(e, StepDone))
    )
    began = time.monotonic()
    QTest.mouseClick(dialog.train, Qt.MouseButton.LeftButton)
    until(lambda: steps and window.session.folder != parent)
    seconds = steps[0] - began
    window.session.stop()
    until(lambda: window.session.state.over)
    return seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    application = QApplication([])
    set_up(application, "light")
    with tempfile.TemporaryDirectory() as folder:
        bundled = load_experiment(resource("experiments/digits.yaml"))
        document = bundled.model_copy(
            update={
                "training": bundled.training.model_copy(update={"epochs": EPOCHS}),
                "schedule": bundled.schedule.model_copy(update={"end": EPOCHS - 1}),
            }
        )
        parent = Path(folder) / "runs" / "parent"
        Trainer(document, parent).train()
        window = MainWindow(document, parent.parent, Settings(Path(folder) / "window.ini"))
        window.show()
        window.begin()
        until(lambda: window.complete)
        rounds = [fork(window, parent) for _ in range(options.rounds)]
        window.closing.start()
        until(lambda: not window.isVisible())
    print(json.dumps({"seconds": [round(one, 3) for one in rounds], "median": median(rounds)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
