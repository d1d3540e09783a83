"""The file in which a window keeps what is to come back after it is closed or killed."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import IO, Literal, NoReturn
from weakref import finalize

from pydantic import BaseModel, Field, FiniteFloat, JsonValue, NonNegativeInt, ValidationError

from lbc.files.atomic import write_atomically
from lbc.files.lock import lock
from lbc.files.small_file import open_regular
from lbc.pictures.score_snapshot import Look
from lbc_gui.run.view_state import Pins

LARGEST = 10_000_000
"""Bytes of a file beyond which it was not written by a window."""


class PagesState(BaseModel, frozen=True):
    """What was chosen and opened on the pages; paths are absolute."""

    choices: dict[str, str] = {}
    """The texts of tabs, boxes and lines, by the names that ``LastPages`` gives them."""
    against: NonNegativeInt | str | None = None
    """What the mask is compared with: the index of a moment, or a run folder."""
    sort: str = ""
    falling: bool = True
    """The order of the table of runs."""
    selected: tuple[str, ...] = ()
    baseline: str = ""
    """Run folders that are compared, and the one that the others are compared with."""
    checkpoints: tuple[str, ...] = ()
    inspected: str = ""
    """One or two files that are inspected, and the layer on screen."""
    comparison: str = ""
    """The folder on the page Comparison."""


class SessionState(BaseModel, frozen=True):
    """The experiment that changes are compared with, the form with them, and what is on screen."""

    version: Literal[1] = 1
    experiment: dict[str, JsonValue]
    form: dict[str, JsonValue]
    """May hold what the schema of experiments rejects: an edit that is not finished."""
    run: str = ""
    """The absolute path of the run folder; empty if there was none."""
    page: int = Field(default=0, ge=0)
    layer: str = ""
    epoch: FiniteFloat | None = None
    """The position in time; None at the end of the run."""
    pins: Pins = Pins()
    look: Look = Look()
    zoom: tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat] | None = None
    """First column and row, width and height of what is visible of the layer; None: all of it."""
    pages: PagesState = PagesState()


class DamagedSessionError(ValueError):
    """A sentence that says which file cannot be read, and why."""


class SessionFile:
    """One file for each window that is open at the same time.

    A window takes the file that was written last and belongs to no other, so that two windows
    that were killed come back as two. The lock is released however the process ends.
    """

    def __init__(self, folder: Path) -> None:
        """Raises OSError if nothing can be written there."""
        folder.mkdir(parents=True, exist_ok=True)
        known: dict[Path, float] = {}
        for path in folder.glob("session-*.json"):
            with suppress(FileNotFoundError):  # another window has just rejected it
                known[path] = path.stat().st_mtime
        newest = sorted(known, key=lambda path: -known[path])
        for path in (*newest, *(folder / f"session-{number}.json" for number in range(1, 100))):
            self._lock: IO[bytes] = path.with_suffix(".lock").open("ab")
            if lock(self._lock):
                self.path = path
                finalize(self, self._lock.close)
                return
            self._lock.close()
        raise OSError(f"a hundred windows already use {folder}")

    @property
    def measurements(self) -> Path:
        """The file of the measurements that are open on the page Latency."""
        return self.path.with_suffix(".latency")

    def read(self) -> SessionState | None:
        """What was last written; None if nothing was.

        Raises DamagedSessionError, and keeps the file with another name, if it cannot be read.
        """
        try:
            with open_regular(self.path) as file:
                return SessionState.model_validate_json(file.read(LARGEST))
        except FileNotFoundError:
            return None
        except (ValidationError, OSError, RecursionError) as error:
            self.reject(error)

    def reject(self, error: Exception) -> NoReturn:
        """Keep the file with another name, and raise DamagedSessionError."""
        kept = self.path.with_suffix(".damaged")
        try:
            self.path.replace(kept)
            where = f" It was kept as {kept}."
        except OSError:
            where = ""
        why = str(error) if isinstance(error, OSError) else "it was not written by this program"
        raise DamagedSessionError(
            f"What was open last cannot be restored from {self.path}: {why}.{where}"
        ) from error

    def write(self, state: SessionState) -> None:
        """Replace what was written before. Raises OSError."""
        text = state.model_dump_json().encode()
        # Safe against a killed process; a power failure is not worth waiting for the disk.
        write_atomically(self.path, lambda file: file.write(text), sync=False)

    def close(self) -> None:
        self._lock.close()
