"""The server's side of following a run: sends what a viewer lacks, and passes on its commands."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from pathlib import Path
from typing import IO, get_args

from lbc.files.os_errors import explain
from lbc.following.commands import append_line
from lbc.following.live_pictures import LivePictures
from lbc.following.messages import (
    GREETING,
    PROGRAM,
    PROTOCOL,
    Alive,
    Begin,
    FromServer,
    FromViewer,
    Grown,
    Notice,
    Order,
    Over,
    ProtocolError,
    Received,
    Show,
    Small,
    Status,
    Whole,
    encode,
    read_from_viewer,
)
from lbc.following.run_files import GrowingFile, SmallFile
from lbc.runs.run_state import FILE as STATE
from lbc.runs.run_state import RunError, read_state
from lbc.runs.unfinished_run import being_trained

POLL_SECONDS = 0.1

LARGEST_HEADER = 1 << 22
"""Bytes of a history that are enough to know its layers."""

STATUS_SECONDS = 1.0
"""How often the state of the run is sent, which also shows that the connection works."""

MOST_UNDERWAY = 1 << 19
"""Bytes of files that are sent before the viewer says that they have arrived: behind more of them
pictures would be late on a slow line."""

SILENCE_SECONDS = 30.0
"""After so long without a word, the viewer is gone."""


class Server:
    """Follows one run for one viewer, over two pipes. Nothing in the folder is changed but by it.

    ``serve`` returns when the viewer has gone, the run is deleted, or something is wrong.
    """

    def __init__(self, folder: Path, input_: IO[bytes], output: IO[bytes]) -> None:
        self._folder, self._input, self._output = folder, input_, output
        self._arrived: deque[FromViewer | None] = deque()
        self._changed = threading.Condition()
        self._heard = time.monotonic()
        self._status: Status | None = None
        self._status_at = 0.0
        self._waiting: list[Whole] = []
        self._ready = False
        self._underway = 0

    def serve(self) -> None:
        """Send until the end. Raises nothing: what went wrong is sent as a sentence."""
        self._pictures = LivePictures(self._folder)
        try:
            versions = {"protocol": PROTOCOL, "version": PROGRAM}
            self._write(b"\n" + GREETING + json.dumps(versions).encode() + b"\n")
            threading.Thread(target=self._listen, daemon=True).start()
            self._follow()
        except BrokenPipeError:
            return
        except RunError as error:
            self._leave(str(error))
        except OSError as error:
            self._leave(explain(error, f"{error.filename or self._folder} cannot be read"))
        except (ProtocolError, ValueError) as error:
            self._leave(f"The viewer's messages cannot be read: {error}")
        finally:
            self._pictures.close()

    # -- what the viewer sends ------------------------------------------------------------------

    def _listen(self) -> None:
        message: FromViewer | None = None
        try:
            while True:
                self._put(read_from_viewer(self._read))
        except (EOFError, OSError, ProtocolError, ValueError):
            self._put(message)

    def _put(self, message: FromViewer | None) -> None:
        with self._changed:
            self._heard = time.monotonic()
            self._arrived.append(message)
            self._changed.notify_all()

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:  # pieces: the input is not buffered
            piece = self._input.read(size - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data

    def _next(self, seconds: float) -> FromViewer | None:
        """The next message, ``Alive`` if there is none in time, None if the viewer is gone."""
        with self._changed:
            if not self._arrived:
                self._changed.wait(seconds)
            if self._arrived:
                return self._arrived.popleft()
        return None if time.monotonic() - self._heard > SILENCE_SECONDS else Alive()

    # -- what is sent ---------------------------------------------------------------------------

    def _follow(self) -> None:
        read_state(self._folder)
        begin = self._next(SILENCE_SECONDS)
        if not isinstance(begin, Begin):
            return
        grown = [GrowingFile(self._folder, at, begin.held.get(at)) for at in get_args(Grown)]
        small = [SmallFile(self._folder, at) for at in get_args(Small)]
        busy = True
        while (message := self._next(0.0 if busy else POLL_SECONDS)) is not None:
            self._obey(message)
            for picture in self._pictures.next():
                self._pictures.count(picture, self._send(picture))
            busy = self._send_files(grown, small)
            if not (self._folder / STATE).exists():
                self._send(Over(f"{self._folder} was deleted on the server.", deleted=True))
                return
            self._send_status(sum(file.missing for file in grown))

    def _obey(self, message: FromViewer) -> None:
        match message:
            case Order():
                try:
                    append_line(self._folder, message.line)
                except OSError as error:
                    what = f"The command could not be written into {self._folder}"
                    self._send(Notice(explain(error, what)))
            case Show():
                self._pictures.show(message)
            case Received():
                self._underway -= message.count
            case _:
                pass

    def _send_files(self, grown: list[GrowingFile], small: list[SmallFile]) -> bool:
        """Send one part of each file that has grown; True if there is more.

        ``run.json`` must not say that a run has ended before its last rows have arrived: what is
        small is read before the others turn out to be complete, and sent after them. The history,
        which may take a while, does not delay it.
        """
        if self._underway >= MOST_UNDERWAY:
            return False
        self._waiting = self._waiting or [new for file in small if (new := file.news())]
        for file in grown:
            part = file.next_part()
            if part is not None:
                self._underway += len(part.data)
                self._send(part)
        if not any(file.missing for file in grown[:-1]):
            for new in self._waiting:
                self._send(new)
            self._waiting = []
            self._ready = self._ready or not grown[-1].missing or grown[-1].sent > LARGEST_HEADER
        return any(file.missing for file in grown)

    def _send_status(self, missing: int) -> None:
        status = Status(being_trained(self._folder), missing, self._ready)
        if status != self._status or time.monotonic() - self._status_at >= STATUS_SECONDS:
            self._status, self._status_at = status, time.monotonic()
            self._send(status)

    def _leave(self, message: str) -> None:
        try:
            self._send(Over(message))
        except OSError:
            return

    def _send(self, message: FromServer) -> int:
        """Send a message; returns its size in bytes."""
        data = encode(message)
        self._write(data)
        return len(data)

    def _write(self, data: bytes) -> None:
        self._output.write(data)
        self._output.flush()
