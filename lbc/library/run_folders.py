"""Finding the run folders below a folder, and noticing cheaply that one has changed."""

from __future__ import annotations

import errno
import os
from pathlib import Path

DEPTH = 3
"""Runs are found so many folders down: in comparisons and groups of them."""

FILES = ("run.json", "experiment.yaml", "epochs.records", "library.json")
"""What a summary is read from."""

_MISSING = "-"


def find_runs(root: Path) -> dict[str, str]:
    """The stamp of each run below ``root``, by its path relative to it.

    A stamp changes with the size or a time of a file of the run. Stamps are compared for equality
    only, so it does not matter whose clock set the times. A folder is a run if it has a run.json,
    or if it has another file of a run and no runs below it; folders that cannot be listed count
    too. Links are followed once, and only out of ``root``. Raises OSError if ``root`` cannot be
    listed.
    """
    search = _Search(root)
    search.enter(str(root), "", DEPTH, linked=False)
    return search.found


class _Search:
    def __init__(self, root: Path) -> None:
        self.found: dict[str, str] = {}
        self._root = Path(os.path.realpath(root))  # resolve fails for links in a circle
        self._targets: set[Path] = set()

    def enter(self, folder: str, prefix: str, depth: int, linked: bool) -> None:
        """Find the runs in a folder, up to ``depth`` folders down; ``linked``: behind a link."""
        for name, is_link in _folders_in(folder):
            if name.startswith(".") and name.endswith(".tmp"):  # of a fork being written
                continue
            path = os.path.join(folder, name)  # noqa: PTH118 - pathlib takes three times as long
            if is_link and (linked or not self._leads_outside(path)):
                continue
            run, stamps = prefix + name, _stamps(path)
            if stamps[0] == _MISSING and depth > 1 and not name.startswith("."):
                before = len(self.found)
                try:
                    self.enter(path, f"{run}/", depth - 1, linked or is_link)
                except OSError as error:
                    self.found[run] = f"!{error.errno}"
                if len(self.found) > before:
                    continue
            if any(stamp != _MISSING for stamp in stamps[:3]):
                self.found[run] = ",".join(stamps)

    def _leads_outside(self, link: str) -> bool:
        target = Path(os.path.realpath(link))
        known = target in self._targets
        self._targets.add(target)
        inside = target.is_relative_to(self._root) or self._root.is_relative_to(target)
        return not known and not inside


def _folders_in(folder: str) -> list[tuple[str, bool]]:
    folders = []
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                if entry.is_dir():
                    folders.append((entry.name, entry.is_symlink()))
            except OSError:  # a link in a circle
                continue
    return folders


def _stamps(folder: str) -> list[str]:
    stamps = []
    for file in FILES:
        try:
            status = os.stat(f"{folder}/{file}")  # noqa: PTH116
        except OSError as error:
            gone = error.errno in (errno.ENOENT, errno.ENOTDIR)
            stamps.append(_MISSING if gone else f"!{error.errno}")
        else:
            # A program may set the time of the contents, but not that of the last change.
            stamps.append(f"{status.st_mtime_ns}:{status.st_ctime_ns}:{status.st_size}")
    return stamps
