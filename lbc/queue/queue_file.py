"""The files of a queue, below the folder of the runs.

queue.json              order, number of jobs, and every entry
.queue/7.yaml           entry 7 in its first line, a comment, and its experiment for lbc train
.queue/7.log            what its process prints
.queue/7.lock           locked by its process; holds the process's number and computer
.queue/lock             locked by who changes the queue
.queue/supervisor.lock  locked by the process that starts the others
.queue/supervisor.log   what that process prints
.queue/damaged-1.json   a queue.json that could not be read
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from lbc.config import Experiment, dump_experiment, load_experiment
from lbc.config.strict_yaml import ExperimentError
from lbc.files.atomic import write_atomically
from lbc.files.lock import LOCK_TIMEOUT_SECONDS, lock
from lbc.files.small_file import read_regular, read_small
from lbc.queue.entries import MOST_JOBS, Change, Entry, Queue

VERSION = 1
SIZE_LIMIT = 1 << 26
FILE = "queue.json"
HEADER = "# Entry of the queue: "

_ID = re.compile(r"[1-9]\d{0,14}", re.ASCII)


@dataclass(frozen=True)
class _Document:
    version: Annotated[int, Field(ge=1, le=VERSION)]
    jobs: Annotated[int, Field(ge=1, le=MOST_JOBS)]
    entries: tuple[Entry, ...]


_DOCUMENT = TypeAdapter(_Document)
_ENTRY = TypeAdapter(Entry)


class QueueFile:
    """The queue of a folder of runs. Any number of processes may read and change it."""

    def __init__(self, runs: Path) -> None:
        self.runs = runs
        self.path = runs / FILE
        self.folder = runs / ".queue"

    def file_of(self, entry: int, suffix: str) -> Path:
        """The path of an entry's own file: its "yaml", "log" or "lock"."""
        return self.folder / f"{entry}.{suffix}"

    def read(self) -> Queue:
        """The queue as it is; what cannot be read is restored from the files of the entries.

        Raises OSError if the files themselves cannot be opened.
        """
        queue = self._stored()
        notice = self._notice(damaged=queue is None)
        return replace(self._restored() if queue is None else queue, notice=notice)

    def change(self, change: Change) -> Queue:
        """Replace the queue by ``change`` of it, one process at a time; return the new one.

        A file that cannot be read is kept aside. Raises OSError, and whatever ``change`` raises;
        the queue is then as before.
        """
        with self._locked():
            old = self._stored()
            if old is None:
                self.path.replace(self._aside())
                old = self._restored()
                self._write(old)
            new = change(old)
            if new != old:
                self._write_entries(old, new)
                self._write(new)
            return replace(new, notice=self._notice())

    def add(self, entry: Entry, experiment: Experiment) -> None:
        """Write the experiment of a new entry. For use within ``change``."""
        self._write_file(entry, dump_experiment(experiment))

    def experiment_of(self, entry: Entry) -> Experiment:
        """The experiment of an entry. Raises ExperimentError."""
        return load_experiment(self.file_of(entry.id, "yaml"))

    def next_id(self, queue: Queue) -> int:
        """An id that no entry has, nor the files of one."""
        return 1 + max((*(entry.id for entry in queue.entries), *self._stored_ids()), default=0)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.mkdir(exist_ok=True)  # not its parent: its disk may have gone away
        with (self.folder / "lock").open("ab") as guard:
            if not lock(guard, LOCK_TIMEOUT_SECONDS):
                raise BlockingIOError(11, "another program is writing it", str(self.path))
            yield

    def _stored(self) -> Queue | None:
        """The content of queue.json; None if it cannot be used."""
        try:
            document = _DOCUMENT.validate_json(read_small(self.path, SIZE_LIMIT))
        except FileNotFoundError:
            return self._restored()
        except ValidationError:
            return None
        ids = {entry.id for entry in document.entries}
        if len(ids) < len(document.entries):
            return None
        return Queue(document.jobs, document.entries)

    def _write(self, queue: Queue) -> None:
        document = _DOCUMENT.dump_json(_Document(VERSION, queue.jobs, queue.entries), indent=1)
        write_atomically(self.path, lambda file: file.write(document + b"\n"))

    # -- the files of the entries ---------------------------------------------------------------

    def _write_entries(self, old: Queue, new: Queue) -> None:
        before = {entry.id: entry for entry in old.entries}
        for entry in new.entries:
            if before.pop(entry.id, entry) != entry:
                with suppress(FileNotFoundError):  # a deleted experiment is reported when it starts
                    text = read_regular(self.file_of(entry.id, "yaml")).partition(b"\n")[2]
                    self._write_file(entry, text.decode(errors="replace"))
        for removed in before:
            for suffix in ("yaml", "log", "lock"):
                self.file_of(removed, suffix).unlink(missing_ok=True)

    def _write_file(self, entry: Entry, experiment: str) -> None:
        text = f"{HEADER}{json.dumps(asdict(entry))}\n{experiment}".encode()
        write_atomically(self.file_of(entry.id, "yaml"), lambda file: file.write(text))

    def _stored_ids(self) -> list[int]:
        stems = (file.stem for file in self.folder.glob("*.yaml"))
        return sorted(int(stem) for stem in stems if _ID.fullmatch(stem))

    def _restored(self) -> Queue:
        return Queue(entries=tuple(map(self._restored_entry, self._stored_ids())))

    def _restored_entry(self, number: int) -> Entry:
        path = self.file_of(number, "yaml")
        with suppress(OSError, ValueError):
            head, _, _ = read_small(path, SIZE_LIMIT).partition(b"\n")
            entry = _ENTRY.validate_json(head.removeprefix(HEADER.encode()))
            return replace(entry, id=number)
        try:
            experiment = load_experiment(path)
        except ExperimentError as error:
            reason = "; ".join(str(error).splitlines())
            return Entry(number, "unknown", f"restored-{number}", 0, state="failed", reason=reason)
        reason = f"The first line of {path} was damaged: resume it if you want it."
        folder, epochs = f"{experiment.name}-restored-{number}", experiment.training.epochs
        return Entry(number, experiment.name, folder, epochs, state="paused", reason=reason)

    # -- files that could not be read -----------------------------------------------------------

    def _aside(self) -> Path:
        number = 1
        while (path := self.folder / f"damaged-{number}.json").exists():
            number += 1
        return path

    def _notice(self, damaged: bool = False) -> str:
        kept = [self.path] if damaged else sorted(self.folder.glob("damaged-*.json"))
        if not kept:
            return ""
        return (
            f"The file of the queue was damaged, cut off or of a newer version ({kept[0]}), and "
            "the queue was restored from the files of its entries: check their order and the "
            "number of jobs, then delete that file."
        )
