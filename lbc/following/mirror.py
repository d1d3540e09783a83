"""The copy of a run on a server, kept up to date over ssh: a folder like any other run's."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lbc.files.os_errors import explain
from lbc.files.printable import printable
from lbc.files.small_file import open_regular
from lbc.following.address import Address
from lbc.following.commands import FILE as COMMANDS
from lbc.following.connection import Connection, ConnectionFailedError
from lbc.following.messages import (
    LARGEST_DOCUMENT,
    Begin,
    FromServer,
    Notice,
    Order,
    Over,
    Part,
    Picture,
    ProtocolError,
    Received,
    Status,
    Thumbnails,
    Weights,
    Whole,
)
from lbc.following.mirror_files import MirrorFiles
from lbc.following.open_mirrors import OPEN
from lbc.following.screen import Screen
from lbc.runs.mirror_state import MirrorState, write_mirror

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 30.0
"""Seconds between two attempts to connect: twice as long after each that fails."""

POLL_SECONDS = 0.05
"""How often the folder is looked at for commands and requests of the viewer."""

ORDER_SECONDS = 30.0
"""How long a command waits for a connection. Later it would come as a surprise."""

STATE_SECONDS = 0.5
"""How often ``mirror.json`` is written while only the number of missing bytes changes."""

MOST_ORDERS = 256


@dataclass
class _WrittenOrder:
    """A line of ``commands.jsonl``, and whether it was sent into the present connection."""

    line: str
    since: float
    sent: bool = False


class Mirror:
    """Copies one run into a folder until ``close``. Thread safe.

    A connection that breaks is made again, after pauses that grow; what is there stays.
    """

    def __init__(
        self,
        address: Address,
        folder: Path,
        changed: Callable[[MirrorState], object] = lambda state: None,
        command: Sequence[str] | None = None,
    ) -> None:
        """``changed`` is called in a thread of the mirror; ``command`` replaces that of ssh."""
        self.address, self.folder = address, folder
        self.state = MirrorState(address.text, address.login)
        self._changed, self._command = changed, command or address.command()
        self._files = MirrorFiles(folder)
        self.screen = Screen()
        self._connection: Connection | None = None
        self._closed = threading.Event()
        self._written_at = 0.0
        self._orders: deque[_WrittenOrder] = deque(maxlen=MOST_ORDERS)
        self._threads = [
            threading.Thread(target=work, daemon=True, name="mirror")
            for work in (self._keep_connected, self._pass_on)
        ]

    def start(self) -> None:
        """Begin to copy. Raises OSError if the folder cannot be written."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / COMMANDS).unlink(missing_ok=True)  # of an earlier viewer
        write_mirror(self.folder, self.state)
        OPEN[self.folder] = self
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End the connection and the threads; the folder stays."""
        self._closed.set()
        OPEN.pop(self.folder, None)
        if self._connection is not None:
            self._connection.close()
        for thread in self._threads:
            if thread.ident is not None and thread is not threading.current_thread():
                thread.join()
        self._show(connected=False)

    # -- the connection -------------------------------------------------------------------------

    def _keep_connected(self) -> None:
        pause = FIRST_PAUSE
        while not self._closed.is_set() and not self.state.over:
            pause = FIRST_PAUSE if self._connect() else min(2 * pause, LONGEST_PAUSE)
            self._closed.wait(pause)

    def _connect(self) -> bool:
        """Copy until the connection breaks; whether there was one."""
        connection, over = None, False
        try:
            begin = Begin(self._files.held())
            self.screen.begin()
            connection = self._connection = Connection(self.address, self._command)
            connection.send(begin)
            while not self._closed.is_set() and not self.state.over:
                self._take(connection.receive())
            message, over = self.state.message, self.state.over
        except ConnectionFailedError as error:
            message, over = str(error), error.lasting and not self.state.ready
        except ProtocolError as error:
            message, over = f"{self.address.login}: {error}", True
        except OSError as error:
            message = explain(error, f"The copy of the run in {self.folder} cannot be written")
        if connection is not None:
            connection.close()
            connection.finish()
        if not self._closed.is_set():
            self._show(connected=False, message=message, over=over)
        return connection is not None and connection.greeted

    def _take(self, message: FromServer) -> None:
        match message:
            case Part():
                self._files.write_part(message)
                if self._connection is not None:
                    self._connection.send(Received(len(message.data)))
            case Whole():
                self._files.write_whole(message)
            case Status():
                ready = self.state.ready or message.ready
                trained, missing = message.trained, message.missing
                self._show(
                    connected=True, message="", trained=trained, missing=missing, ready=ready
                )
            case Picture() | Thumbnails() | Weights():
                self.screen.accept(message)
            case Notice():
                self._show(notice=printable(message.message[:1000]))
            case Over():
                sentence = f"{self.address.login}: {printable(message.message[:1000])}"
                self._show(connected=False, trained=False, message=sentence, over=True)

    def _show(self, **changes: Any) -> None:
        """Change the state, and write it unless only the number of missing bytes is new."""
        before, self.state = self.state, replace(self.state, **changes)
        news = replace(before, missing=0) != replace(self.state, missing=0)
        due = time.monotonic() - self._written_at > STATE_SECONDS and before != self.state
        if news or due or (self.state.missing == 0 and before.missing):
            self._written_at = time.monotonic()
            with suppress(OSError):
                write_mirror(self.folder, self.state)
            self._changed(self.state)

    # -- the other way --------------------------------------------------------------------------

    def _pass_on(self) -> None:
        """Send what the viewer shows, and the commands that it writes into the folder.

        What was sent into a connection that broke may have been lost, and is sent again: a command
        has an id, and is carried out once.
        """
        end, last, shown = 0, None, None
        while not self._closed.wait(POLL_SECONDS):
            with suppress(OSError):
                end = self._read_orders(end)
            connection = self._connection
            if connection is None or not self.state.connected:
                continue
            if connection is not last:
                last, shown = connection, None
                for order in self._orders:
                    order.sent = False
            for order in self._orders:
                if not order.sent and time.monotonic() - order.since < ORDER_SECONDS:
                    connection.send(Order(order.line))
                order.sent = True
            if shown != self.screen.shown:
                shown = self.screen.shown
                connection.send(shown)

    def _read_orders(self, end: int) -> int:
        """Queue the lines after ``end``; the new end. Raises OSError."""
        path = self.folder / COMMANDS
        if not path.exists() or path.stat().st_size <= end:
            return end
        with open_regular(path) as file:
            file.seek(end)
            whole, newline, _ = file.read(LARGEST_DOCUMENT).rpartition(b"\n")
        for line in whole.decode(errors="replace").splitlines():
            if line.strip():
                self._orders.append(_WrittenOrder(line, time.monotonic()))
        return end + len(whole) + len(newline)
