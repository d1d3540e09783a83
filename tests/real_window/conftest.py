"""A screen of its own with a window manager, a window on it, a mouse and a keyboard."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import pytest

from lbc.config import dump_experiment, parse_experiment
from tests import warm
from tests.real_window import driven_window

PROGRAMS = ("Xvfb", "openbox", "xdotool")
SECONDS = 60.0


class Desktop:
    """The application under Xvfb, with xdotool's mouse and keyboard on it."""

    def __init__(self, display: str, folder: Path) -> None:
        self.runs = folder / "runs"
        environment = {"DISPLAY": display, "QT_QPA_PLATFORM": "xcb"}
        self._environment = os.environ | environment
        self._asking, asked = Pipe()
        self.application = warm.start(driven_window.main, folder, asked, environment=environment)
        asked.close()

    def ask(self, ask: str, **more: Any) -> Any:
        """An answer of the window about itself."""
        self._asking.send({"ask": ask, **more})
        return self._asking.recv()

    def until(self, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait until the window's state is as wanted, and return it."""
        end = time.monotonic() + SECONDS
        while True:
            state: dict[str, Any] = self.ask("state")
            if holds(state):
                return state
            assert time.monotonic() < end, f"The window did not get there: {state}"
            time.sleep(0.05)

    def place(self, ask: str, **more: Any) -> list[int]:
        """Where something is on the screen, as soon as it is there and has come to rest."""
        end = time.monotonic() + SECONDS
        before = None
        while (place := self.ask(ask, **more)) is None or place != before:
            assert time.monotonic() < end, f"There is no {ask} {more} that rests."
            before = place
            time.sleep(0.2)
        found: list[int] = place
        return found

    def mouse(self, place: list[int], *buttons: int) -> None:
        """Move to a place on the screen and click."""
        self._xdotool("mousemove", *map(str, place))
        time.sleep(0.1)
        for button in buttons:
            self._xdotool("click", str(button))

    def drag(self, start: list[int], end: list[int]) -> None:
        """Press the left button at one place, move, and release it at another."""
        self.mouse(start)
        self._xdotool("mousedown", "1")
        for share in (0.3, 0.6, 1):  # a drag begins with a movement
            at = [round(a + share * (b - a)) for a, b in zip(start, end, strict=True)]
            self.mouse(at)
        time.sleep(0.3)
        self._xdotool("mouseup", "1")

    def keys(self, *keys: str) -> None:
        self._xdotool("key", "--clearmodifiers", *keys)

    def type(self, text: str) -> None:
        self._xdotool("type", "--delay", "30", text)

    def press(self, button: str) -> None:
        """Click the visible button with this text."""
        self.mouse(self.ask("button", text=button), 1)

    def newest_run(self) -> Path:
        """The folder of the newest run."""
        return max(self.runs.iterdir(), key=lambda path: path.stat().st_mtime)

    def run_file(self) -> dict[str, Any]:
        """What the newest run's run.json says."""
        content: dict[str, Any] = json.loads((self.newest_run() / "run.json").read_text())
        return content

    def _xdotool(self, *arguments: str) -> None:
        subprocess.run(["xdotool", *arguments], env=self._environment, check=True, timeout=30)


@pytest.fixture(scope="session")
def display(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An X server with a window manager; skips where they are not installed."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)} (Debian: apt install xvfb openbox xdotool)")
    reading, writing = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1280x800x24", "-nolisten", "tcp"],
        pass_fds=[writing],
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    with os.fdopen(reading) as pipe:
        name = f":{pipe.readline().strip()}"
    home = tmp_path_factory.mktemp("openbox")
    manager = subprocess.Popen(
        ["openbox"],
        env=os.environ | {"DISPLAY": name, "HOME": str(home), "XDG_CONFIG_HOME": str(home)},
        stderr=subprocess.DEVNULL,
    )
    yield name
    for process in (manager, server):
        process.terminate()
        process.wait()


@pytest.fixture
def desktop(display: str, tmp_path: Path) -> Iterator[Desktop]:
    """The window on a long run of a small network, ready to start."""
    experiment = parse_experiment({
        "name": "driven",
        "model": {"name": "mlp", "width": 64, "depth": 3},
        "training": {"epochs": 400, "batch_size": 200},
        "schedule": {"end": 300},
    })  # fmt: skip
    (tmp_path / "experiment.yaml").write_text(dump_experiment(experiment))
    desktop = Desktop(display, tmp_path)
    desktop.until(lambda state: state["state"] == "ready" and "parameters" in state["facts"])
    yield desktop
    desktop.application.kill()
    desktop.application.join()
