"""The library of a folder: the summaries of every run below it."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from dataclasses import dataclass
from heapq import nlargest
from pathlib import Path
from threading import Lock

from lbc.files.os_errors import explain
from lbc.library.index_file import Entry, IndexFile
from lbc.library.run_folders import find_runs
from lbc.library.run_summary import RunSummary, summarize_run
from lbc.runs.run_state import RunError
from lbc.runs.unfinished_run import being_trained

BATCH = 250
"""So many runs are read before they are shown and written into the index."""


@dataclass(frozen=True)
class Changes:
    """What a refresh has found: new and changed runs, and the folders of those that are gone."""

    changed: tuple[RunSummary, ...] = ()
    removed: tuple[Path, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.changed or self.removed)


class Library:
    """The runs below a folder, known from an index at once and from their folders on request.

    The folders are the truth, and the index is a cache. Methods may be called from any thread; both
    may take a while, as ``runs`` reads the index when it is first called. Several processes may use
    the same folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._index = IndexFile(folder)
        self._entries: dict[str, Entry] | None = None
        self._loading, self._refreshing = Lock(), Lock()

    def runs(self) -> tuple[RunSummary, ...]:
        """The runs as of the last refresh, by any process, in the order of their paths."""
        known = self._load()
        return tuple(known[path].summary for path in sorted(known))

    def newest(self, count: int) -> tuple[RunSummary, ...]:
        """Those of ``runs`` that started last, of which some are known sooner than all."""
        entries = self._index.read(count) if self._entries is None else self._entries
        runs = (entry.summary for entry in entries.values())
        return tuple(nlargest(count, runs, key=lambda run: run.started))

    def refresh(self, progress: Callable[[int, int], object] = lambda done, total: None) -> Changes:
        """Read the folders that have changed since the last refresh.

        ``progress`` receives how many of them have been read, and how many there are, and may call
        ``runs``; what it raises ends the refresh, and what has been read is kept. Raises RunError,
        and keeps the runs as they are, if the folder cannot be read; a folder that has never been
        there is a library without runs.
        """
        with self._refreshing:
            known = dict(self._load())
            found = self._find(known)
            removed = known.keys() - found.keys()
            for path in removed:
                del known[path]
            stale = [path for path, stamp in found.items() if self._is_stale(path, stamp)]
            changed = []
            for start in range(0, len(stale), BATCH):
                progress(start, len(stale))
                batch = stale[start : start + BATCH]
                changed += [path for path in batch if self._read(known, path, found[path])]
                self._publish(known, batch, ())
            progress(len(stale), len(stale))
            gone = removed | {path for path in changed if path not in known}
            if gone:
                self._publish(known, (), gone)
            return Changes(
                tuple(known[path].summary for path in changed if path not in gone),
                tuple(self.folder / path for path in sorted(gone)),
            )

    def _load(self) -> dict[str, Entry]:
        with self._loading:
            if self._entries is None:
                self._entries = self._index.read()
            return self._entries

    def _find(self, known: Collection[str]) -> dict[str, str]:
        try:
            return find_runs(self.folder)
        except OSError as error:
            if isinstance(error, FileNotFoundError) and not known:
                return {}
            raise RunError(explain(error, f"The runs in {self.folder} cannot be read")) from error

    def _is_stale(self, path: str, stamp: str) -> bool:
        entry = self._load().get(path)
        if entry is None or entry.stamp != stamp:
            return True
        match entry.summary.status:
            case "unreadable":  # permissions and connections change without a new stamp
                return True
            case "running" | "cut off" as status:
                return (status == "running") != being_trained(self.folder / path)
        return False

    def _read(self, known: dict[str, Entry], path: str, stamp: str) -> bool:
        """Read one run; whether its summary is another now, or the run has been deleted."""
        before = known.get(path)
        now = Entry(stamp, summarize_run(self.folder / path))
        if now.summary.problem and not os.path.lexists(self.folder / path):
            return known.pop(path, None) is not None
        known[path] = now
        return before is None or before.summary != now.summary

    def _publish(
        self, known: dict[str, Entry], changed: Collection[str], removed: Collection[str]
    ) -> None:
        self._entries = dict(known)
        self._index.write(self._entries, changed, removed)
