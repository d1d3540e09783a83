"""The window is killed with -9 again and again while it queues and steers runs that train.

Every window moves entries and changes the number of jobs; some pause and resume all, or queue one
more. It is killed at a random moment within that. At the end every run must have finished, no step
may be missing, and every final file must be that of ``lbc train`` alone. Prints JSON.

    QT_QPA_PLATFORM=offscreen python -m tests.performance.queue_kills --kills 100
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication

from lbc.config import Experiment, dump_experiment, parse_experiment
from lbc.queue.commands import add_variations, move, read_queue, set_jobs, start, steer
from lbc.queue.entries import Entry
from lbc.runs.records import read_records
from lbc_gui.settings import Settings
from lbc_gui.window.main_window import MainWindow
from tests import warm

EPOCHS, STEPS = 150, 8
LONGEST_SECONDS = 1.5
"""After its first look at the queue, a window is killed within this time."""


def experiment() -> Experiment:
    return parse_experiment({
        "name": "queued",
        "model": {"name": "mlp", "width": 64},
        "schedule": {"end": EPOCHS - 1},
        "training": {"epochs": EPOCHS, "batch_size": 500},
    })  # fmt: skip


def window(runs: Path, number: int, ready: Connection) -> None:
    """A window that steers the queue every 50 ms; ``ready`` receives a byte when it shows it."""
    application = QApplication(["lbc-gui"])
    shown = MainWindow(experiment(), runs, Settings(runs.parent / "window.ini"))
    shown.show()
    shown.begin()
    chance = random.Random(number)

    def act() -> None:
        if not hasattr(shown, "queue") or not shown.queue.moment.queue.entries:
            return
        ready.send_bytes(b"1")
        ids = [entry.id for entry in shown.queue.moment.queue.entries]
        ask = shown.queue.following.ask
        ask(lambda: move(runs, [chance.choice(ids)], chance.choice(("up", "down", "top"))))
        ask(lambda: set_jobs(runs, chance.choice((1, 2))))
        if number % 10 == 0:
            ask(lambda: steer(runs, "pause"))
        ask(lambda: steer(runs, "resume"))
        ask(lambda: start(runs))

    if number % 25 == 0:
        QTimer.singleShot(1000, shown.actions_.queue.trigger)
    timer = QTimer()
    timer.timeout.connect(act)
    timer.start(50)
    application.exec()


def kill_windows(runs: Path, kills: int) -> None:
    for number in range(kills):
        ready, sent = Pipe(duplex=False)
        process = warm.start(window, runs, number, sent)
        sent.close()
        if not ready.poll(120):
            raise RuntimeError(f"Window {number} did not show the queue within two minutes.")
        time.sleep(random.Random(-number).uniform(0, LONGEST_SECONDS))
        process.kill()
        process.join()
        ready.close()
        print(f"\rkilled {number + 1} windows", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)


def until(condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError("The queue has not ended in time.")
        time.sleep(0.5)


def undisturbed(entry: Entry, runs: Path, folder: Path) -> bytes:
    """The final file of ``lbc train`` with the same number of threads."""
    state = json.loads((runs / entry.folder / "run.json").read_text())
    out = folder / f"undisturbed-{entry.id}"
    file = runs / ".queue" / f"{entry.id}.yaml"
    subprocess.run(
        [sys.executable, "-m", "lbc", "train", file, "--out", out],
        env={**os.environ, "OMP_NUM_THREADS": str(state["threads"])},
        check=True,
        capture_output=True,
    )
    return (out / "model.safetensors").read_bytes()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--kills", type=int, default=100)
    kills = parser.parse_args().kills
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder, runs = Path(name), Path(name) / "runs"
        os.environ["XDG_STATE_HOME"] = name
        (folder / "experiment.yaml").write_text(dump_experiment(experiment()))
        add_variations(runs, experiment(), {"optimizer.lr": [0.05, 0.1]}, seeds=3)
        start(runs)
        kill_windows(runs, kills)
        steer(runs, "resume")
        start(runs)
        until(lambda: not read_queue(runs).count("waiting", "running"), 1800)
        entries = read_queue(runs).entries
        lost, different = 0, 0
        for entry in entries:
            steps = read_records(runs / entry.folder / "steps.records")["step"].tolist()
            lost += len(set(range(1, EPOCHS * STEPS + 1)) - set(map(int, steps)))
            final = (runs / entry.folder / "model.safetensors").read_bytes()
            different += final != undisturbed(entry, runs, folder)
        finished = sum(entry.state == "finished" for entry in entries)
    report = {
        "benchmark": "queue_kills",
        "windows_killed": kills,
        "runs": len(entries),
        "finished": finished,
        "steps_lost": lost,
        "different_final_files": different,
        "seconds": round(time.monotonic() - begun),
    }
    print(json.dumps(report))
    return int(finished < len(entries) or bool(lost or different))


if __name__ == "__main__":
    sys.exit(main())
