"""What a file or folder is, as far as its name and its first bytes say."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

from lbc.runs.run_state import FILE as RUN_STATE

EXPERIMENTS, MEASUREMENTS = (".yaml", ".yml"), (".json", ".ndjson")

HEAD = 65_536
"""Bytes that are read to tell measurements from the index of a checkpoint."""


class Kind(Enum):
    RUN = "run"
    EXPERIMENT = "experiment"
    MEASUREMENT = "measurement"
    CHECKPOINT = "checkpoint"


def find_kind(path: Path) -> Kind:
    """The kind of a file or folder; what is nothing else may be a checkpoint.

    Raises FileNotFoundError if there is nothing, and OSError if it cannot be looked at.
    """
    if path.is_dir():
        return Kind.RUN if (path / RUN_STATE).is_file() else Kind.CHECKPOINT
    path.stat()
    suffix = path.suffix.lower()
    if suffix in EXPERIMENTS:
        return Kind.EXPERIMENT
    if suffix not in MEASUREMENTS:
        return Kind.CHECKPOINT
    with path.open("rb") as file:
        return Kind.CHECKPOINT if b'"weight_map"' in file.read(HEAD) else Kind.MEASUREMENT
