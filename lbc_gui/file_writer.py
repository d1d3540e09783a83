"""Writes files in threads: a disk that others write to keeps whoever writes waiting for seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import IO

from PySide6.QtCore import QObject, QThread

from lbc.files.atomic import write_atomically
from lbc_gui.worker import Failed, Job, Worker, describe

Writer = Callable[[IO[bytes]], object]
"""Writes the content of a file; it is called in another thread."""


class UnsuitableError(ValueError):
    """The data cannot be written in this format: a sentence that says why, and what to do."""


class WriterThread(Worker):
    """Writes one file, ``after`` those before it; it posts a sentence once that is done."""

    def __init__(self, path: Path, writer: Writer, after: Event, parent: QObject) -> None:
        super().__init__(parent)
        self._path, self._writer, self._after = path, writer, after
        self.over = Event()

    def work(self) -> None:
        self._after.wait()
        try:
            write_atomically(self._path, self._writer, follow=True)
        finally:
            self.over.set()
        self.post(f"Saved {self._path}.")

    def failure(self, error: Exception) -> Failed:
        return describe(f"{self._path} could not be written", error, UnsuitableError)


class FileWriter(Job):
    """Writes one file after the other, in the order in which they were asked for."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._last = Event()
        """Set when the last thread is over."""
        self._last.set()

    def write(self, path: Path, writer: Writer) -> None:
        """Replace a file atomically; ``said`` or ``failed`` follows."""
        thread = WriterThread(path, writer, self._last, self)
        self._launch(thread, QThread.Priority.LowPriority)
        if thread.isRunning():  # one that could not start would never be over
            self._last = thread.over
