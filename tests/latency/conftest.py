"""Workers for the tests: real ones on this CPU, recorded ones, and one behind a fake ssh."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lbc.latency.cases import Case, parse_case
from lbc.latency.run import CaseDone, Event, Request, Settings

STREAMS = Path(__file__).parent / "streams"
QUICK = Settings(samples=7, warmup_seconds=0, warmup_calls=1)
ENDLESS = Settings(warmup_seconds=1e6)
"""The first case does not end by itself."""

SMALL = [parse_case("32x8x64"), parse_case("16x8x32"), parse_case("8x16x32"), parse_case("8x8x8")]

SSH = f"""#!{sys.executable}
import os, signal, subprocess, sys, threading

arguments = sys.argv[1:]
while arguments[0].startswith("-"):
    del arguments[: 1 if arguments[0] == "-T" else 2]
host, command = arguments[0], " ".join(arguments[1:])
print("Welcome to " + host + ".\\nToday's words: @lbc-latency is fun", end="", flush=True)
count = int(os.environ.get("FAKE_SSH_LINES", "0"))
once = os.environ.get("FAKE_SSH_ONCE", "")
pipes = {{"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}}
there = subprocess.Popen(["/bin/sh", "-c", command], start_new_session=True, **pipes)

def forward():
    while piece := os.read(0, 65536):
        there.stdin.write(piece)
        there.stdin.flush()
    there.stdin.close()

threading.Thread(target=forward, daemon=True).start()
out = sys.stdout.buffer
breaks = count and once and not os.path.exists(once)
for line in there.stdout:
    out.write(line)
    out.flush()
    count -= line.startswith(b"@lbc-latency")
    if breaks and count == 0:
        open(once, "w").close()
        out.write(b'\\n@lbc-latency {{"kind": "res')
        out.flush()
        os._exit(255)
os._exit(there.wait() % 256)
"""
"""Imitates OpenSSH: options, a banner, and a shell command that outlives the connection. It breaks
once, after FAKE_SSH_LINES answers and half of another."""

WORKER = f"""#!{sys.executable}
import os, pathlib, sys, time
folder = pathlib.Path(__file__).parent
with (folder / "jobs").open("a") as jobs:
    jobs.write(sys.stdin.readline())
left = sorted(folder.glob("stream-*"))
if not left:
    sys.exit("no stream is left")
text = left[0].read_text()
left[0].unlink()
sys.stdout.write(text)
sys.stdout.flush()
if text.endswith("(silence)"):
    time.sleep(1000)
"""
"""A worker that prints a recorded stream, the next one at each start, and keeps its jobs."""


def write_program(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a fake ssh first in PATH; return the file that exists once the connection has broken."""
    folder = tmp_path / "bin"
    folder.mkdir()
    write_program(folder / "ssh", SSH)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("FAKE_SSH_ONCE", str(tmp_path / "broke"))
    return tmp_path / "broke"


@pytest.fixture
def recorded(tmp_path: Path) -> Callable[..., str]:
    """A Python that prints the given streams instead of running the worker, one at each start."""
    folder = tmp_path / "recorded"
    folder.mkdir()

    def make(*streams: str) -> str:
        for number, stream in enumerate(streams):
            (folder / f"stream-{number}").write_text(stream)
        return str(write_program(folder / "python", WORKER))

    return make


def jobs_of(python: str) -> list[dict[str, Any]]:
    """The jobs that ``recorded`` workers were given, in order."""
    return [json.loads(line) for line in Path(python).with_name("jobs").read_text().splitlines()]


@pytest.fixture
def pids(tmp_path: Path) -> Iterator[Callable[[], list[int]]]:
    """The process ids written by ``counting_python``, in order."""
    yield lambda: [int(pid) for pid in (tmp_path / "pids").read_text().split()]


@pytest.fixture
def counting_python(tmp_path: Path) -> str:
    """This Python, which first writes its process id to a file."""
    text = f'#!/bin/sh\necho $$ >> {tmp_path}/pids\nexec {sys.executable} "$@"\n'
    return str(write_program(tmp_path / "counting-python", text))


def cpu(cases: list[Case], settings: Settings = QUICK, **more: Any) -> Request:
    return Request.for_device(cases, "cpu", settings=settings, **more)


def stream(name: str) -> str:
    return (STREAMS / f"{name}.ndjson").read_text()


def indices(events: list[Event]) -> list[int]:
    return [event.result.index for event in events if isinstance(event, CaseDone)]


def answer(kind: str, **content: Any) -> str:
    return "\n@lbc-latency " + json.dumps({"kind": kind, **content}) + "\n"


def hello(**device: Any) -> str:
    """The hello of a worker on a CPU; keyword arguments change its device."""
    values = {"kind": "cpu", "name": "a processor", "torch": "2.12.0"} | device
    return answer("hello", schema=1, pid=1, device=values, backend="cpu", dtype="float32", time=1.0)


def ends(pid: int, seconds: float = 20.0) -> bool:
    """Return True if the process ends, or becomes a zombie, within the time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
        if done.stdout.strip()[:1] in ("", "Z"):
            return True
        time.sleep(0.05)
    return False
