"""Inject all faults, which takes minutes, and print what was lost; exit status 1 if anything.

Mounting small disks needs root.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

from tests.faults.disks import fill_disk, forbid_writing
from tests.faults.experiment import Outcome
from tests.faults.flips import flip_bits
from tests.faults.hostile import open_hostile_runs
from tests.faults.kills import kill_everywhere
from tests.faults.limits import (
    jump_clock,
    limit_process,
    remove_folder,
    small_disks,
    write_twice,
)
from tests.faults.random_kills import kill_commands, kill_windows

FLIPS = 2000
KILLS = 200


INJECTIONS: dict[str, Callable[[Path], Iterable[Outcome]]] = {
    "kills": lambda at: [kill_everywhere(at)],
    "full": lambda at: [fill_disk(at)],
    "forbidden": lambda at: [forbid_writing(at)],
    "flips": lambda at: flip_bits(at, FLIPS),
    "hostile": open_hostile_runs,
    "disks": small_disks if os.geteuid() == 0 else lambda at: [],
    "removed": lambda at: [remove_folder(at)],
    "clock": lambda at: [jump_clock(at)],
    "limits": limit_process,
    "twice": lambda at: [write_twice(at)],
    "commands": lambda at: [kill_commands(at, KILLS)],
    "windows": lambda at: [kill_windows(at, KILLS)],
}


def inject_all(folder: Path) -> Iterator[Outcome]:
    """Inject every fault below an empty folder."""
    for name, inject in INJECTIONS.items():
        (folder / name).mkdir()
        yield from inject(folder / name)


def main() -> int:
    print("| fault | injected | survived | lost |\n| --- | ---: | ---: | ---: |")
    outcomes = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_STATE_HOME"] = folder
        Path(folder).chmod(0o755)
        for one in inject_all(Path(folder)):
            lost = len(one.lost)
            print(f"| {one.fault} | {one.injected:,} | {one.injected - lost:,} | {lost:,} |")
            sys.stdout.flush()
            outcomes.append(one)
    print(json.dumps({"benchmark": "faults", "outcomes": [asdict(one) for one in outcomes]}))
    return int(any(one.lost for one in outcomes))


if __name__ == "__main__":
    sys.exit(main())
