"""The index of a library: one SQLite file of run summaries, which can be read at once.

It is a cache, and may be deleted at any time. It is kept in the user's cache folder and not beside
the runs: those may be on a network file system, where SQLite's locks are not reliable, on a disk
that cannot be written, or shared with others. As home folders may be on such a file system too,
there is no write-ahead log, which needs shared memory. Each row has a checksum; a file that is
damaged, or of a version that reads other settings, is begun anew.
"""

from __future__ import annotations

import json
import os
import sqlite3
from array import array
from collections.abc import Collection, Mapping
from contextlib import closing, suppress
from dataclasses import astuple, fields
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

from platformdirs import user_cache_path

from lbc.config import Experiment
from lbc.library.run_summary import Parameters, RunSummary, flatten_experiment
from lbc.runs.annotations import Annotations

FORMAT = 2
"""To be raised when rows mean something else."""

LOCK_SECONDS = 5.0

_APART = ("folder", "accuracies", "parameters", "annotations")
_PLAIN = tuple(field.name for field in fields(RunSummary) if field.name not in _APART)

_COLUMNS = ("path", "stamp", "base", "plain", "accuracies")
"""``base`` has the settings of another run, and ``plain`` those that differ: most are alike."""

_TABLE = f"CREATE TABLE runs ({', '.join(f'{name} BLOB' for name in _COLUMNS)}, checksum INTEGER, "
_TABLE += "PRIMARY KEY (path))"

_UNANNOTATED = Annotations()

_DAMAGED = {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}

Row = tuple[bytes, bytes, bytes, bytes, bytes]


class Entry(NamedTuple):
    """A summary, and the stamp that its run had before it was read."""

    stamp: str
    summary: RunSummary


Entries = Mapping[str, Entry]


class IndexFile:
    """Reads and writes the index of one folder. Without a usable file, reads nothing.

    Every method opens the file anew, so that it may be deleted or replaced in between. No method
    raises.
    """

    def __init__(self, runs: Path) -> None:
        name = sha256(os.fsencode(os.path.realpath(runs))).hexdigest()[:32]
        self.path = user_cache_path("lbc-explorer") / "library" / f"{name}.sqlite"
        self._runs = runs
        self._patience = LOCK_SECONDS
        self._read_bases: dict[bytes, Parameters] = {}
        self._bases: dict[tuple[str, ...], tuple[Parameters, bytes]] = {}

    def read(self, newest: int | None = None) -> dict[str, Entry]:
        """The entries by relative path, without those that are damaged.

        With ``newest``, only so many: those of the runs that started last.
        """
        started = f"json_extract(CAST(plain AS TEXT), '$[0][{_PLAIN.index('started')}]')"
        which = f"WHERE json_valid(CAST(plain AS TEXT)) ORDER BY {started} DESC LIMIT {newest}"
        select = f"SELECT {', '.join(_COLUMNS)}, checksum FROM runs"
        if newest is not None:
            select = f"{select} {which}"
        entries: dict[str, Entry] = {}
        try:
            with closing(self._connect()) as connection:
                for row in connection.execute(select):
                    with suppress(ValueError, TypeError, KeyError, RecursionError):
                        self._add(entries, row[:-1], row[-1])
        except (sqlite3.Error, OSError) as error:
            self._recover(error)
        return entries

    def write(self, entries: Entries, changed: Collection[str], removed: Collection[str]) -> None:
        """Write the entries that have changed; all of them into a file that is new.

        Those of unreadable runs are not kept: it may be the disk that is to blame.
        """
        try:
            with closing(self._connect()) as connection, connection:
                connection.execute("BEGIN IMMEDIATE")
                new = connection.execute("SELECT 1 FROM runs LIMIT 1").fetchone() is None
                connection.executemany(
                    "DELETE FROM runs WHERE path = ?", [(os.fsencode(path),) for path in removed]
                )
                connection.executemany(
                    f"INSERT OR REPLACE INTO runs VALUES ({', '.join('?' * len(_COLUMNS))}, ?)",
                    [
                        self._encode(path, entries[path])
                        for path in (entries if new else changed)
                        if path in entries and entries[path].summary.status != "unreadable"
                    ],
                )
            self._patience = LOCK_SECONDS
        except (sqlite3.Error, OSError) as error:
            self._recover(error)

    def _connect(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self.path, self._patience, isolation_level=None)
        try:
            # Not even a power failure can harm more than the cache.
            connection.execute("PRAGMA synchronous = OFF")
            if self._is_other_version(connection):
                with connection:
                    connection.execute("BEGIN IMMEDIATE")
                    if self._is_other_version(connection):
                        connection.execute("DROP TABLE IF EXISTS runs")
                        connection.execute(_TABLE)
                        connection.execute(f"PRAGMA user_version = {self._version}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _is_other_version(self, connection: sqlite3.Connection) -> bool:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        return bool(version != self._version)

    @cached_property
    def _version(self) -> int:
        annotations = [field.name for field in fields(Annotations)]
        content = (FORMAT, _PLAIN, annotations, sorted(flatten_experiment(Experiment())))
        return crc32(repr(content).encode()) & 0x7FFFFFFF

    def _recover(self, error: Exception) -> None:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_BUSY:  # by a process that hangs: every batch would wait for it
            self._patience = 0.0
        if code in _DAMAGED:  # others mean that it cannot be opened or written now
            for file in (self.path, self.path.with_name(f"{self.path.name}-journal")):
                with suppress(OSError):
                    file.unlink(missing_ok=True)

    def _add(self, entries: dict[str, Entry], row: Row, checksum: int) -> None:
        path, stamp, base, plain, accuracies = row
        if checksum != _checksum(row):
            return
        known = self._read_bases.get(base)
        if known is None:
            known = self._read_bases[base] = json.loads(base)
        relative = os.fsdecode(path)
        values, annotations, settings = json.loads(plain)
        # Of ten thousand, object.__setattr__ for each field would be the slowest part.
        run = object.__new__(RunSummary)
        vars(run).update(
            zip(_PLAIN, values, strict=True),
            folder=self._runs / relative,
            accuracies=tuple(array("d", accuracies)),
            parameters={**known, **settings},
            annotations=_read_annotations(*annotations) if any(annotations) else _UNANNOTATED,
        )
        entries[relative] = Entry(stamp.decode(), run)

    def _encode(self, path: str, entry: Entry) -> tuple[bytes | int, ...]:
        run = entry.summary
        names = tuple(run.parameters)
        if names not in self._bases:
            self._bases[names] = run.parameters, json.dumps(run.parameters).encode()
        base, encoded_base = self._bases[names]
        settings = {
            name: value
            for name, value in run.parameters.items()
            if value != base[name] or type(value) is not type(base[name])
        }
        plain = [getattr(run, name) for name in _PLAIN]
        row = (
            os.fsencode(path),
            entry.stamp.encode(),
            encoded_base,
            json.dumps([plain, astuple(run.annotations), settings]).encode(),
            array("d", run.accuracies).tobytes(),
        )
        return *row, _checksum(row)


def _read_annotations(title: str, tags: list[str], *others: Any) -> Annotations:
    return Annotations(title, tuple(tags), *others)


def _checksum(row: Row) -> int:
    checksum = 0
    for value in row:
        checksum = crc32(value, checksum)
    return checksum
