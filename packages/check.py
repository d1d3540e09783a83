"""Checks an installation as its user would: ``python packages/check.py FOLDER``.

FOLDER holds the commands ``lbc`` and ``lbc-gui``: ``bin`` of a virtual environment, or the
one-folder build. Both run in an empty folder: they print their version, train, queue a run, and
open a window that trains. The window is real where xvfb-run and xdotool are installed. Uses the
standard library only.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

EXPERIMENT = """
name: check
model: {name: mlp, width: 16, depth: 2}
schedule: {end: 1}
training: {epochs: 1, batch_size: 1000}
"""
SECONDS = 300.0
WINDOW = "LBC Explorer"


class CheckError(Exception):
    """What an installation does not do."""


def main(arguments: Sequence[str]) -> int:
    """Check the installation in a folder, print figures, and return the exit status."""
    if len(arguments) != 1:
        print(__doc__)
        return 2
    folder = Path(arguments[0]).resolve()
    with tempfile.TemporaryDirectory() as empty:
        try:
            check(folder, Path(empty))
        except CheckError as error:
            print(f"{folder}: {error}", file=sys.stderr)
            return 1
    return 0


def check(folder: Path, at: Path) -> None:
    """Run the commands of ``folder`` in the empty folder ``at``. Raises CheckError."""
    lbc, gui = (_command(folder, name) for name in ("lbc", "lbc-gui"))
    version, seconds = _run([lbc, "--version"], at)
    print(f"{version.strip()}: {seconds:.1f} s")
    _run([gui, "--version"], at)
    (at / "check.yaml").write_text(EXPERIMENT, encoding="utf-8")
    _, seconds = _run([lbc, "train", "check.yaml", "--out", "trained"], at)
    _wait_until_finished(at / "trained")
    print(f"lbc train: {seconds:.1f} s")
    # The queue starts processes of its own.
    _run([lbc, "queue", "add", "check.yaml", "--runs", "queued", "--start"], at)
    _wait_for("a queued run", lambda: any((at / "queued").glob("check*/run.json")))
    _wait_until_finished(next((at / "queued").glob("check*/run.json")).parent)
    print("lbc queue: trained")
    _check_window(gui, at)


def _command(folder: Path, name: str) -> str:
    path = folder / (f"{name}.exe" if sys.platform == "win32" else name)
    if not path.is_file():
        raise CheckError(f"has no {path.name}")
    return str(path)


def _run(command: Sequence[str], at: Path) -> tuple[str, float]:
    """Return what a command prints, and its seconds."""
    began = time.monotonic()
    done = subprocess.run(command, cwd=at, capture_output=True, text=True, timeout=SECONDS)
    if done.returncode or "Traceback" in done.stderr:
        raise CheckError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout, time.monotonic() - began


def _wait_until_finished(run: Path) -> None:
    def finished() -> bool:
        status = json.loads((run / "run.json").read_text(encoding="utf-8"))["status"]
        if status == "failed":
            raise CheckError(f"{run.name} has failed")
        return bool(status == "finished")

    _wait_for(f"the end of {run.name}", finished)


def _wait_for(what: str, there: Callable[[], bool]) -> float:
    began = time.monotonic()
    while not there():
        if time.monotonic() - began > SECONDS:
            raise CheckError(f"no sign of {what} in {SECONDS:g} s")
        time.sleep(0.02)
    return time.monotonic() - began


def _check_window(gui: str, at: Path) -> None:
    real = bool(sys.platform == "linux" and shutil.which("xvfb-run") and shutil.which("xdotool"))
    command = [gui, "--start", "--runs", str(at / "window")]
    environment = dict(os.environ)
    if real:
        environment.pop("QT_QPA_PLATFORM", None)
        # Prints the number of the process, and milliseconds until its window is on screen.
        script = (
            f"{gui!r} --start --runs {str(at / 'window')!r} & began=$(date +%s%N); echo $!; "
            f"xdotool search --sync --onlyvisible --name {WINDOW!r} >/dev/null; "
            "echo $(( ($(date +%s%N) - began) / 1000000 )); wait $!"
        )
        command = ["xvfb-run", "-a", "-s", "-screen 0 1280x800x24", "sh", "-c", script]
    else:
        environment["QT_QPA_PLATFORM"] = "offscreen"
    process = subprocess.Popen(command, cwd=at, env=environment, stdout=subprocess.PIPE, text=True)
    number = process.pid
    try:
        assert process.stdout is not None
        if real:
            number = int(process.stdout.readline())
            print(f"window: {int(process.stdout.readline()) / 1000:.1f} s")
        steps = _wait_for("training in the window", lambda: _has_steps(at / "window"))
        print(f"lbc-gui --start: first steps {steps:.1f} s later")
    finally:
        os.kill(number, signal.SIGTERM)
        process.wait(SECONDS)


def _has_steps(runs: Path) -> bool:
    return any(path.stat().st_size > 0 for path in runs.glob("*/steps.records"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
