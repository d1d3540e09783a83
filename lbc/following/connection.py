"""The viewer's side of a connection: the process around ssh, and what goes through its pipes."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import IO

from lbc.files.os_errors import explain
from lbc.files.printable import printable
from lbc.files.ssh import COMMAND_NOT_FOUND, SSH_FAILED
from lbc.following.address import Address
from lbc.following.messages import (
    LARGEST_GREETING,
    PROGRAM,
    Alive,
    FromServer,
    FromViewer,
    encode,
    read_from_server,
    read_greeting,
)

GREETING_SECONDS = 30.0
"""Time for ssh to connect and for Python to start."""

SILENCE_SECONDS = 6.0
"""A server sends at least every second; after so long without a byte the connection is dead."""

ALIVE_SECONDS = 2.0
PIECE = 1 << 16
END_SECONDS = 2.0


class ConnectionFailedError(Exception):
    """There is no connection, or no longer; the message is a sentence.

    ``lasting``: connecting again will not help before somebody has done something.
    """

    def __init__(self, message: str, lasting: bool = False) -> None:
        super().__init__(message)
        self.lasting = lasting


class Connection:
    """A process that follows a run; ``receive`` returns what it sends.

    ``close`` and ``send`` may be called from any thread.
    """

    def __init__(self, address: Address, command: Sequence[str]) -> None:
        """Start ``command``, which is to follow ``address``. Raises ConnectionFailedError."""
        self._address, self._server = address, address.login
        self._errors: deque[str] = deque(maxlen=20)
        self._unread = b""
        self.greeted = False
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except FileNotFoundError as error:
            what = "The ssh command was not found: install the OpenSSH client."
            raise ConnectionFailedError(what, lasting=True) from error
        except OSError as error:
            what = explain(error, f"{command[0]} cannot be started")
            raise ConnectionFailedError(what, lasting=True) from error
        assert self._process.stdin and self._process.stdout and self._process.stderr
        self._output = self._process.stdout
        self._heard = time.monotonic()
        self._closed = threading.Event()
        self._to_send: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        # Each thread closes its own pipe: closing it from another thread would block.
        self._threads = [
            threading.Thread(target=self._write, args=(self._process.stdin,), daemon=True),
            threading.Thread(target=self._read_errors, args=(self._process.stderr,), daemon=True),
            threading.Thread(target=self._watch, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def send(self, message: FromViewer) -> None:
        self._to_send.put(encode(message))

    def receive(self) -> FromServer:
        """The next message; waits for it. Raises ConnectionFailedError or ProtocolError."""
        try:
            if not self.greeted:
                self._read_greeting()
            return read_from_server(self._read)
        except (EOFError, OSError) as error:
            self.close()
            raise self._failure() from error

    def close(self) -> None:
        """End the process."""
        self._closed.set()
        self._to_send.put(None)
        # Its children too, such as an ssh proxy.
        with contextlib.suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(self._process.pid, signal.SIGTERM)
            else:
                self._process.terminate()

    def finish(self) -> None:
        """Wait for the end of the process and of the threads, after ``close``."""
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._output.close()
        for thread in self._threads:
            thread.join(END_SECONDS)

    # -- what arrives ---------------------------------------------------------------------------

    def _read(self, size: int) -> bytes:
        pieces, missing = [self._unread[:size]], size - len(self._unread[:size])
        self._unread = self._unread[size:]
        while missing:
            piece = os.read(self._output.fileno(), min(missing, PIECE))
            if not piece:
                raise EOFError
            self._heard = time.monotonic()
            pieces.append(piece)
            missing -= len(piece)
        return b"".join(pieces)

    def _read_greeting(self) -> None:
        output = self._output.fileno()
        self._unread = read_greeting(lambda: os.read(output, LARGEST_GREETING))
        self._heard = time.monotonic()
        self.greeted = True

    def _watch(self) -> None:
        """Send a sign of life now and then; end the process if there is none from the server."""
        sent = time.monotonic()
        while not self._closed.wait(0.2):
            limit = SILENCE_SECONDS if self.greeted else GREETING_SECONDS
            if time.monotonic() - self._heard > limit:
                self._errors.append(f"no answer for {limit:.0f} s")
                self.close()
            elif self.greeted and time.monotonic() - sent > ALIVE_SECONDS:
                sent = time.monotonic()
                self.send(Alive())

    def _write(self, pipe: IO[bytes]) -> None:
        with contextlib.suppress(OSError), pipe:
            while (data := self._to_send.get()) is not None:
                pipe.write(data)
                pipe.flush()

    def _read_errors(self, pipe: IO[bytes]) -> None:
        with pipe:
            while line := pipe.readline(PIECE):
                self._errors.append(line.decode(errors="replace"))

    # -- why it failed --------------------------------------------------------------------------

    def _failure(self) -> ConnectionFailedError:
        """Why there is no connection, from the exit status and what was said on standard error."""
        self.finish()
        said = "".join(self._errors)
        reason = printable(said.strip().rpartition("\n")[2].strip())[:300]
        status, server, python = self._process.returncode, self._server, self._address.python
        if self.greeted:
            return ConnectionFailedError(f"The connection to {server} broke ({reason or status}).")
        if status == SSH_FAILED:
            return self._ssh_failure(said, reason)
        if status in (COMMAND_NOT_FOUND, COMMAND_NOT_FOUND - 1):
            message = f"{server} has no {printable(python)}: name the Python that has lbc there."
        elif "No module named" in said and "lbc" in said:
            message = (
                f"{printable(python)} on {server} has no lbc: install LBC Explorer there, or name "
                "the Python that has it."
            )
        elif "invalid choice: 'follow'" in said:
            message = (
                f"The version of LBC Explorer on {server} is too old to be followed: install "
                f"{PROGRAM} there."
            )
        else:
            message = (
                f"{server} did not answer as lbc does ({reason or status}): "
                f"try '{self._address.by_hand}' in a terminal."
            )
            return ConnectionFailedError(message)
        return ConnectionFailedError(message, lasting=True)

    def _ssh_failure(self, said: str, reason: str) -> ConnectionFailedError:
        server, by_hand = self._server, self._address.by_hand
        if "IDENTIFICATION HAS CHANGED" in said:
            message = (
                f"The key of {server} is not the one that ssh knows: ask whoever runs the server, "
                "and correct known_hosts only if it was renewed."
            )
        elif "Host key verification failed" in said:
            message = (
                f"The key of {server} is unknown to ssh: connect once with '{by_hand}' in a "
                "terminal, and accept the key if it is the server's."
            )
        elif "Permission denied" in said:
            message = (
                f"{server} lets no one in from here without a password: set up a key, for example "
                f"with '{by_hand.replace('ssh', 'ssh-copy-id', 1)}'."
            )
        else:
            return ConnectionFailedError(
                f"{server} cannot be reached ({reason}): try '{by_hand}' in a terminal."
            )
        return ConnectionFailedError(message, lasting=True)
