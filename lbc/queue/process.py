"""The processes of a queue: those that train its entries, and the one that starts them.

A process holds a lock that the operating system releases however it ends. Its number and computer
are in the locked file, so that a process which did not start it can stop it.
"""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from lbc.files.lock import is_locked, lock
from lbc.files.priority import NICENESS, give_way
from lbc.files.small_file import read_small
from lbc.following.trainer_file import PROGRAM_VARIABLE
from lbc.queue.entries import Entry
from lbc.queue.queue_file import QueueFile
from lbc.runs.unfinished_run import being_trained

LARGEST_LOCK = 1 << 10

LOCK_SECONDS = 1.0
"""Another process may hold the lock for a moment, only to see whether it is held."""


def is_alive(file: QueueFile, entry: Entry) -> bool:
    """Whether a process trains the entry's run, or prepares to; it need not be the queue's."""
    return _has_process(file, entry) or being_trained(file.runs / entry.folder)


def launch(file: QueueFile, entry: Entry, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start ``lbc`` in a session of its own, so that it outlives this process.

    It prints to the entry's log. Raises OSError if it cannot be started.
    """
    environment = {PROGRAM_VARIABLE: "lbc queue"}
    if entry.threads:
        environment["OMP_NUM_THREADS"] = str(entry.threads)
    directory = Path(entry.directory) if entry.directory else file.runs
    with (
        file.file_of(entry.id, "log").open("ab") as log,
        file.file_of(entry.id, "lock").open("ab", buffering=0) as guard,
    ):
        if not lock(guard, LOCK_SECONDS):
            raise BlockingIOError(11, "another process trains it", guard.name)
        return _start(
            arguments, log, environment, directory if directory.is_dir() else file.runs, guard
        )


def stop(file: QueueFile, entry: Entry) -> None:
    """Ask the entry's process to save its run and end, as Ctrl-C does, if there is one here."""
    number, elsewhere = find_process(file, entry)
    if number > 1 and not elsewhere:
        with suppress(OSError, OverflowError):
            os.kill(number, signal.SIGTERM)


def find_process(file: QueueFile, entry: Entry) -> tuple[int, str]:
    """The number of the entry's process, 0 if it has none, and its computer if that is another."""
    # Without the lock the number may by now be that of any process.
    if _has_process(file, entry):
        with suppress(OSError, ValueError):
            held = read_small(file.file_of(entry.id, "lock"), LARGEST_LOCK).decode()
            number, _, computer = held.partition(" ")
            return int(number), "" if computer == platform.node() else computer
    return 0, ""


def is_working(file: QueueFile) -> bool:
    """Whether a process works the queue off."""
    return is_locked(file.folder / "supervisor.lock")


def start_working(file: QueueFile) -> None:
    """Start a process that works the queue off, unless there is one. Raises OSError."""
    file.folder.mkdir(exist_ok=True)
    if not is_working(file):
        with (file.folder / "supervisor.log").open("wb") as log:
            runs = file.runs.resolve()
            process = _start(("queue", "work", "--runs", str(runs)), log, {}, runs)
        threading.Thread(target=process.wait, daemon=True).start()  # or it stays as a zombie


def _has_process(file: QueueFile, entry: Entry) -> bool:
    return is_locked(file.file_of(entry.id, "lock"))


def _start(
    arguments: Sequence[str],
    log: IO[bytes],
    environment: dict[str, str],
    directory: Path,
    guard: IO[bytes] | None = None,
) -> subprocess.Popen[bytes]:
    """Start ``lbc``; it inherits the lock of ``guard``, into which its number is written."""
    package = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH", ""))))
    inherits = guard is not None and sys.platform != "win32"
    number = guard.fileno() if guard is not None else -1
    computer = platform.node()

    def begin() -> None:
        give_way(NICENESS)
        os.ftruncate(number, 0)
        os.write(number, f"{os.getpid()} {computer}".encode())

    process = subprocess.Popen(
        # -P: a file in that directory must not be imported in place of a package.
        [sys.executable, "-P", "-m", "lbc", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        cwd=directory,
        env={**os.environ, "PYTHONPATH": path, **environment},
        start_new_session=True,
        pass_fds=(number,) if inherits else (),
        preexec_fn=begin if inherits else None,
    )
    if not inherits:
        give_way(NICENESS, process.pid)  # at once: to import what it needs takes half a second
    if guard is not None and not inherits:
        guard.truncate(0)
        guard.write(f"{process.pid} {computer}".encode())
    return process
