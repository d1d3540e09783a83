"""What a file or folder is, as far as its name and first bytes say, and what opening it does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import islice
from pathlib import Path

from lbc.files.printable import printable
from lbc.files.small_file import open_regular
from lbc.runs.run_state import FILE as RUN_STATE
from lbc_gui.worker import describe

EXPERIMENTS, MEASUREMENTS = (".yaml", ".yml"), (".json", ".ndjson")

HEAD = 65_536
"""Bytes that are read to tell measurements from the index of a checkpoint."""

MOST_LOOKS = 1000
"""Entries of a folder that are looked at for runs."""


class Kind(Enum):
    RUN = "run"
    COMPARISON = "comparison"
    EXPERIMENT = "experiment"
    MEASUREMENT = "measurement"
    CHECKPOINT = "checkpoint"


MOST = {Kind.COMPARISON: 1, Kind.EXPERIMENT: 1, Kind.CHECKPOINT: 2}
"""How many of a kind are shown at a time; of others any number."""


def find_kind(path: Path) -> Kind:
    """The kind of a file or folder; what is nothing else may be a checkpoint.

    Raises FileNotFoundError if there is nothing, and OSError if it cannot be looked at.
    """
    if path.is_dir():
        if (path / RUN_STATE).is_file():
            return Kind.RUN
        runs = any((at / RUN_STATE).is_file() for at in islice(path.iterdir(), MOST_LOOKS))
        return Kind.COMPARISON if runs else Kind.CHECKPOINT
    path.stat()
    suffix = path.suffix.lower()
    if suffix in EXPERIMENTS:
        return Kind.EXPERIMENT
    if suffix not in MEASUREMENTS:
        return Kind.CHECKPOINT
    with open_regular(path) as file:
        return Kind.CHECKPOINT if b'"weight_map"' in file.read(HEAD) else Kind.MEASUREMENT


@dataclass
class SortedFiles:
    """Files that are opened together, by kind; ``last`` is that of the last of them."""

    found: dict[Kind, list[Path]] = field(default_factory=lambda: {kind: [] for kind in Kind})
    left_out: list[Path] = field(default_factory=list)
    """More than can be shown at a time."""
    problems: list[str] = field(default_factory=list)
    last: Kind | None = None

    @property
    def sentence(self) -> str:
        """What opening them does."""
        words = [_WORDS[kind](paths) for kind, paths in self.found.items() if paths]
        left = f" Not opened: {_names(self.left_out)}." if self.left_out else ""
        return " ".join([f"Drop to {' and '.join(words)}.{left}" if words else "", *self.problems])


def sort_files(paths: Sequence[Path]) -> SortedFiles:
    """Sort files and folders by what they are opened for."""
    files = SortedFiles()
    for path in paths:
        try:
            kind = find_kind(path)
        except FileNotFoundError:
            files.problems.append(f"{printable(str(path))} does not exist.")
        except OSError as error:
            files.problems.append(describe(f"{path} cannot be opened", error).message)
        else:
            full = len(files.found[kind]) == MOST.get(kind, len(paths))
            (files.left_out if full else files.found[kind]).append(path)
            files.last = files.last if full else kind
    return files


def _names(paths: Sequence[Path]) -> str:
    return ", ".join(printable(path.name) for path in paths)


_WORDS: dict[Kind, Callable[[Sequence[Path]], str]] = {
    Kind.RUN: lambda runs: f"compare {len(runs)} runs" if runs[1:] else f"show {_names(runs)}",
    Kind.COMPARISON: lambda folders: f"compare the runs in {_names(folders)}",
    Kind.EXPERIMENT: lambda files: f"edit {_names(files)}",
    Kind.MEASUREMENT: lambda files: f"add the measurements of {_names(files)}",
    Kind.CHECKPOINT: lambda files: f"inspect {' beside '.join(printable(f.name) for f in files)}",
}
