"""The log of this program: one file for all its processes, with what went wrong unexpectedly."""

from __future__ import annotations

import logging
import os
import sys
import threading
from contextlib import suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import TracebackType

from platformdirs import user_log_path

from lbc.files.home import expanded
from lbc.files.versions import own_version

LARGEST, OLD_FILES = 1_000_000, 3
"""Bytes of the file before a new one is begun, and how many older ones are kept."""

FORMAT = "%(asctime)s %(process)d %(name)s %(levelname)s: %(message)s"


def log_path() -> Path:
    return user_log_path("lbc-explorer") / "lbc.log"


def start_log(program: str) -> None:
    """Write warnings and uncaught exceptions of every thread of this process to the log.

    The file is created with the first of them. Where it cannot be, nothing is logged.
    """
    handler = _LogFile(log_path(), LARGEST, OLD_FILES)
    handler.setFormatter(_Formatter(FORMAT))
    handler.setLevel(logging.WARNING)
    logging.getLogger().addHandler(handler)
    log = logging.getLogger(program)
    printed, printed_in_thread = sys.excepthook, threading.excepthook

    def uncaught(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        log.critical(_what(), exc_info=(kind, error, trace))
        printed(kind, error, trace)

    def uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None:
            exception = (args.exc_type, args.exc_value, args.exc_traceback)
            log.critical(f"{_what()} in a thread", exc_info=exception)
        printed_in_thread(args)

    sys.excepthook, threading.excepthook = uncaught, uncaught_in_thread


def _what() -> str:
    return f"Uncaught exception of version {own_version()}"


class _Formatter(logging.Formatter):
    """Writes ``~`` for the home folder, also in tracebacks."""

    def format(self, record: logging.LogRecord) -> str:
        home = str(expanded("~"))
        text = super().format(record)
        return text.replace(home, "~") if len(home) > 1 else text


class _LogFile(RotatingFileHandler):
    """Several processes write to the file, and each may begin a new one."""

    def __init__(self, path: Path, largest: int, old_files: int) -> None:
        super().__init__(
            path, maxBytes=largest, backupCount=old_files, encoding="utf-8",
            errors="backslashreplace", delay=True,
        )  # fmt: skip

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):
            Path(self.baseFilename).parent.mkdir(parents=True, exist_ok=True)
        if self.stream is not None and not self._is_current(self.stream.fileno()):
            self.stream.close()  # another process began a new one
            self.stream = None
        super().emit(record)

    def _is_current(self, opened: int) -> bool:
        try:
            return os.path.samestat(os.fstat(opened), Path(self.baseFilename).stat())
        except OSError:
            return False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - of logging
        """A log that cannot be written must not disturb what is logged."""
