"""The log has every uncaught exception, begins new files, and does not name the user."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lbc.files.log_file import LARGEST, OLD_FILES, _LogFile, log_path, start_log


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    before, root = (sys.excepthook, threading.excepthook), logging.getLogger()
    handlers = list(root.handlers)
    monkeypatch.setattr(sys, "excepthook", lambda *_: None)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    start_log("lbc")
    yield log_path()
    for handler in root.handlers[:]:
        if handler not in handlers:
            root.removeHandler(handler)
            handler.close()
    sys.excepthook, threading.excepthook = before


def fail(where: str) -> None:
    raise ValueError(f"bad {where}")


def test_uncaught_exceptions_of_every_thread_are_logged(log: Path) -> None:
    assert not log.exists()
    thread = threading.Thread(target=fail, args=["thread"])
    thread.start()
    thread.join()
    try:
        fail(f"folder {Path.home() / 'secret'}")
    except ValueError as error:
        sys.excepthook(ValueError, error, error.__traceback__)
    said = log.read_text()
    assert "bad thread" in said and "ValueError: bad folder ~/secret" in said
    assert said.count("Traceback") == 2 and "in fail" in said
    logging.getLogger("other").info("not worth a line")
    assert log.read_text() == said


def test_files_are_bounded_although_two_processes_write(log: Path) -> None:
    first, second = (_LogFile(log, LARGEST, OLD_FILES) for _ in range(2))
    line = "x" * (LARGEST // 4)
    for number in range(40):
        record = logging.LogRecord("a", 40, "", 1, f"{number} {line}", None, None)
        (first, second)[number % 2].emit(record)
    first.close()
    second.close()
    files = sorted(log.parent.iterdir())
    assert [file.name for file in files] == ["lbc.log", *(f"lbc.log.{n}" for n in (1, 2, 3))]
    assert all(file.stat().st_size <= LARGEST for file in files)
    assert [int(at.partition(" ")[0]) for at in files[0].read_text().splitlines()][-1] == 39
    kept = sum(len(file.read_text().splitlines()) for file in files)
    assert kept >= 3 * OLD_FILES + 1  # nothing was lost to the other process


def test_a_log_that_cannot_be_written_disturbs_nothing(log: Path, tmp_path: Path) -> None:
    log.parent.parent.mkdir(parents=True, exist_ok=True)
    log.parent.write_text("a file in the place of the folder")
    logging.getLogger("lbc").error("lost")
    assert log.parent.is_file()
