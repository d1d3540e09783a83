"""A worker's process: sends its job, reads its answers, ends it."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import IO, Any

from lbc.files.os_errors import explain
from lbc.files.printable import printable
from lbc.files.ssh import COMMAND_NOT_FOUND, SSH_FAILED
from lbc.latency.answers import Answer, Ended, Hello, OtherLine, read_answer
from lbc.latency.measurement import MeasurementError
from lbc.latency.place import Place

CANCEL_SECONDS = 5.0
END_SECONDS = 1.0
POLL_SECONDS = 0.1
MAX_LINE = 1 << 20


class WorkerProcess:
    """A running worker; ``next_answer`` returns its answers."""

    def __init__(self, place: Place, job: Mapping[str, Any] | None, *arguments: str) -> None:
        self._place = place
        self._errors: deque[str] = deque(maxlen=20)
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._last_line = time.monotonic()
        try:
            self._process = subprocess.Popen(
                place.command(*(arguments or ("-",))),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise MeasurementError(
                "The ssh command was not found: install the OpenSSH client."
                if place.remote
                else explain(error, f"{place.python} cannot be started")
            ) from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._input: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        # Each thread closes its own pipe: closing it from another thread would block.
        self._threads = [
            threading.Thread(target=work, args=(pipe,), daemon=True)
            for pipe, work in (
                (self._process.stdin, self._write),
                (self._process.stdout, self._read),
                (self._process.stderr, self._read_errors),
            )
        ]
        for thread in self._threads:
            thread.start()
        line = b"" if job is None else json.dumps(dict(job)).encode() + b"\n"
        self._input.put(place.opening() + line)

    @classmethod
    def recover(cls, place: Place, keep: str) -> WorkerProcess:
        """Start a worker that repeats all answers of the job stored under the id ``keep``."""
        return cls(place, None, "recover", keep)

    def next_answer(self, silence: float, hello: Hello | None) -> Answer | None:
        """Return the next answer, or None at the end. Raises queue.Empty after POLL_SECONDS.

        A worker without output for ``silence`` seconds is killed.
        """
        try:
            line = self._lines.get(timeout=POLL_SECONDS)
        except queue.Empty:
            quiet = time.monotonic() - self._last_line
            if self._process.poll() is not None and quiet > END_SECONDS:
                return None  # a child process keeps the pipe open
            if quiet > silence:
                self._kill()
            raise
        if line is None:
            return None
        self._last_line = time.monotonic()
        try:
            return read_answer(line, hello)
        except MeasurementError as error:
            return OtherLine(line=str(error))

    def cancel(self) -> None:
        """Ask the worker to stop; kill it if it does not."""
        self._input.put(b"cancel\n")
        self.finish()

    def finish(self) -> None:
        """Wait for the end of a process that has sent its last answer."""
        try:
            self._process.wait(CANCEL_SECONDS)
        except subprocess.TimeoutExpired:
            self._kill()
            self._process.wait()
        self._input.put(None)
        for thread in self._threads:
            thread.join(END_SECONDS)

    def describe_exit(self, had_started: bool) -> Ended:
        """Describe the end of a worker that did not report it."""
        status, reason = (
            self._process.returncode,
            printable("".join(list(self._errors)[-1:]).strip()),
        )
        host, python = self._place.name, printable(self._place.python or "python3")
        if had_started:
            how = f"was killed (signal {-status})" if status < 0 else f"died ({reason or status})"
            return Ended(how="failed", kind="died", message=f"The worker {how}.")
        kind, message = "worker", f"The worker did not start ({reason})."
        if self._place.remote and status == SSH_FAILED:
            kind, message = "connection", f"{host} cannot be reached ({reason}): try 'ssh {host}'."
        elif status == COMMAND_NOT_FOUND:
            kind, message = "python", f"{host} has no {python}: give a Python that has torch."
        return Ended(how="failed", kind=kind, message=message)

    def _kill(self) -> None:
        # Kill its children too: nvidia-smi, a compiler, an ssh proxy.
        with contextlib.suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()

    def _write(self, pipe: IO[bytes]) -> None:
        # In its own thread: a job with masks is larger than a pipe's buffer. If the process has
        # ended, its exit status gives the reason.
        with contextlib.suppress(OSError), pipe:
            while (content := self._input.get()) is not None:
                pipe.write(content)
                pipe.flush()

    def _read(self, pipe: IO[bytes]) -> None:
        with pipe:
            while line := pipe.readline(MAX_LINE):
                if line.endswith(b"\n"):  # a broken connection leaves a partial line
                    self._lines.put(line.decode(errors="replace"))
        self._lines.put(None)

    def _read_errors(self, pipe: IO[bytes]) -> None:
        with pipe:
            while line := pipe.readline(MAX_LINE):
                self._errors.append(line.decode(errors="replace"))
