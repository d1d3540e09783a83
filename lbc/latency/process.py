"""One worker's process: its job in, its answers out, its end."""

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

from lbc.latency.answers import Answer, Ended, Hello, Noise, read_answer
from lbc.latency.measurement import MeasurementError
from lbc.latency.place import Place

CANCEL_SECONDS = 5.0
END_SECONDS = 1.0
LOOK_SECONDS = 0.1
LONGEST_LINE = 1 << 20
SSH_FAILED = 255
NO_COMMAND = 127


class WorkerProcess:
    """A worker that runs; ``next_answer`` gives what it says."""

    def __init__(self, place: Place, job: Mapping[str, Any] | None, *arguments: str) -> None:
        self._place = place
        self._errors: deque[str] = deque(maxlen=20)
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._heard = time.monotonic()
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
                "The ssh command was not found: install OpenSSH's client."
                if place.remote
                else f"{place.python} cannot be started: {error.strerror}."
            ) from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._told: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        # Each closes its pipe itself: closing one that another thread reads would wait for it.
        self._threads = [
            threading.Thread(target=work, args=(pipe,), daemon=True)
            for pipe, work in (
                (self._process.stdin, self._write),
                (self._process.stdout, self._read),
                (self._process.stderr, self._complain),
            )
        ]
        for thread in self._threads:
            thread.start()
        line = b"" if job is None else json.dumps(dict(job)).encode() + b"\n"
        self._told.put(place.opening() + line)

    @classmethod
    def recovering(cls, place: Place, keep: str) -> WorkerProcess:
        """One that repeats what a kept job has said, from its first word on."""
        return cls(place, None, "recover", keep)

    def next_answer(self, silence: float, hello: Hello | None) -> Answer | None:
        """The next thing said; None at the end. Raises queue.Empty after a tenth of a second.

        A worker that has not said anything for ``silence`` seconds is ended.
        """
        try:
            line = self._lines.get(timeout=LOOK_SECONDS)
        except queue.Empty:
            quiet = time.monotonic() - self._heard
            if self._process.poll() is not None and quiet > END_SECONDS:
                return None  # a child of its own holds the pipe open
            if quiet > silence:
                self._kill()
            raise
        if line is None:
            return None
        self._heard = time.monotonic()
        try:
            return read_answer(line, hello)
        except MeasurementError as error:
            return Noise(line=str(error))

    def cancel(self) -> None:
        """Tell the worker to stop, wherever it is, and end what does not."""
        self._told.put(b"cancel\n")
        self.finish()

    def finish(self) -> None:
        """Wait for the process that has said its last."""
        try:
            self._process.wait(CANCEL_SECONDS)
        except subprocess.TimeoutExpired:
            self._kill()
            self._process.wait()
        self._told.put(None)
        for thread in self._threads:
            thread.join(END_SECONDS)

    def death(self, had_begun: bool) -> Ended:
        """What to say of a worker that ended without a last word."""
        status, said = self._process.returncode, "".join(list(self._errors)[-1:]).strip()
        host, python = self._place.name, self._place.python or "python3"
        if had_begun:
            how = f"was killed (signal {-status})" if status < 0 else f"died ({said or status})"
            return Ended(how="failed", kind="died", message=f"The worker {how}.")
        kind, message = "worker", f"The worker did not start ({said})."
        if self._place.remote and status == SSH_FAILED:
            kind, message = "connection", f"{host} cannot be reached ({said}): try 'ssh {host}'."
        elif status == NO_COMMAND:
            kind, message = "python", f"{host} has no {python}: name the Python that has torch."
        return Ended(how="failed", kind=kind, message=message)

    def _kill(self) -> None:
        # With it what it has started: nvidia-smi, a compiler, a proxy of ssh's.
        with contextlib.suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()

    def _write(self, pipe: IO[bytes]) -> None:
        # In a thread of its own: a job with masks is larger than what a pipe takes at once.
        # A process that has gone says why at its end.
        with contextlib.suppress(OSError), pipe:
            while (content := self._told.get()) is not None:
                pipe.write(content)
                pipe.flush()

    def _read(self, pipe: IO[bytes]) -> None:
        with pipe:
            while line := pipe.readline(LONGEST_LINE):
                if line.endswith(b"\n"):  # half a line is what a broken connection leaves
                    self._lines.put(line.decode(errors="replace"))
        self._lines.put(None)

    def _complain(self, pipe: IO[bytes]) -> None:
        with pipe:
            while line := pipe.readline(LONGEST_LINE):
                self._errors.append(line.decode(errors="replace"))
