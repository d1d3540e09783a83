"""Runs that grow, servers that break, and mirrors of them, for the tests of following."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import IO, Any

from lbc.config import dump_experiment, parse_experiment
from lbc.files.atomic import write_atomically
from lbc.following.address import Address
from lbc.following.mirror import Mirror
from lbc.following.server import Server
from lbc.runs.metrics import EPOCH_COLUMNS, STEP_COLUMNS
from lbc.runs.records import RecordWriter

GROWN = ("steps.records", "epochs.records", "scores.history")

RELAY = """
import os, socket, sys, threading
there = socket.socket(socket.AF_UNIX)
there.connect(sys.argv[1])
def forward():
    while data := os.read(0, 65536):
        there.sendall(data)
    there.shutdown(socket.SHUT_WR)
threading.Thread(target=forward, daemon=True).start()
while data := there.recv(65536):
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
os._exit(0)
"""
"""In place of ssh: joins its pipes with a socket."""


def program(text: str, *arguments: str) -> list[str]:
    """The command of a small Python program, which starts in milliseconds."""
    return [sys.executable, "-I", "-S", "-c", text, *arguments]


def begin_run(folder: Path) -> None:
    """A folder with what a run has at its beginning, and no row or moment."""
    folder.mkdir(exist_ok=True)
    (folder / "run.json").write_text('{"status": "running"}')
    (folder / "experiment.yaml").write_text(dump_experiment(parse_experiment({})))
    for name, columns in (("steps", STEP_COLUMNS), ("epochs", EPOCH_COLUMNS)):
        RecordWriter(folder / f"{name}.records", columns).close()


def end_run(folder: Path) -> None:
    """At once, as a run does: a viewer that connects may read the state meanwhile."""
    write_atomically(
        folder / "run.json", lambda file: file.write(b'{"status": "finished"}'), sync=False
    )


def add_rows(folder: Path, count: int, value: float = 1.0) -> None:
    with closing(RecordWriter(folder / "steps.records", STEP_COLUMNS)) as writer:
        for _ in range(count):
            writer.append([value] * len(STEP_COLUMNS))


class Cut:
    """Writes to a file until ``bytes_left`` is used up, and then breaks the connection."""

    def __init__(self, file: IO[bytes], bytes_left: int, close: Callable[[], object]) -> None:
        self._file, self._left, self._close = file, bytes_left, close

    def write(self, data: bytes) -> None:
        self._file.write(data[: self._left])
        self._left -= len(data)

    def flush(self) -> None:
        self._file.flush()
        if self._left <= 0:
            self._close()
            raise BrokenPipeError


class Servers:
    """Serves ``folder`` in threads; ``breaks`` holds after how many bytes each connection ends."""

    def __init__(self, folder: Path, path: Path, breaks: list[int] | None = None) -> None:
        self.folder, self.breaks, self.count = folder, breaks or [], 0
        self.command = program(RELAY, str(path))
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                there, _ = self._socket.accept()
                self.count += 1
                threading.Thread(target=self._serve, args=(there,), daemon=True).start()

    def _serve(self, there: socket.socket) -> None:
        output: Any = there.makefile("wb")
        if self.breaks:
            output = Cut(output, self.breaks.pop(), lambda: there.shutdown(socket.SHUT_RDWR))
        Server(self.folder, there.makefile("rb"), output).serve()
        with suppress(OSError):
            there.shutdown(socket.SHUT_RDWR)
        there.close()


def mirror_of(run: Path, folder: Path, command: list[str]) -> Mirror:
    return Mirror(Address("gpu-07", str(run)), folder, command=command)


def wait_for(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)


def same(run: Path, mirror: Path) -> bool:
    """Whether the copy has the bytes of every file that grows, and of ``run.json``."""
    names = [name for name in (*GROWN, "run.json") if (run / name).exists()]
    return all(
        (mirror / name).exists() and (mirror / name).read_bytes() == (run / name).read_bytes()
        for name in names
    )
