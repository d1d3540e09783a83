"""Inject all faults, which takes an hour, and print what was lost; exit status 1 if anything.

Mounting small disks needs root.

    python -m tests.faults --only commands --only windows --kills 40
"""

from __future__ import annotations

import argparse
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
    remove_folders,
    small_disks,
    write_twice,
)
from tests.faults.random_kills import kill_commands, kill_windows
from tests.faults.window_faults import window_faults

FLIPS = 2000


INJECTIONS: dict[str, Callable[[Path, int], Iterable[Outcome]]] = {
    "kills": lambda at, kills: [kill_everywhere(at)],
    "full": lambda at, kills: [fill_disk(at)],
    "forbidden": lambda at, kills: [forbid_writing(at)],
    "flips": lambda at, kills: flip_bits(at, FLIPS),
    "hostile": lambda at, kills: open_hostile_runs(at),
    "disks": lambda at, kills: small_disks(at) if os.geteuid() == 0 else [],
    "removed": lambda at, kills: remove_folders(at),
    "clock": lambda at, kills: [jump_clock(at)],
    "limits": lambda at, kills: limit_process(at),
    "twice": lambda at, kills: [write_twice(at)],
    "window": lambda at, kills: window_faults(at) if os.geteuid() == 0 else [],
    "commands": lambda at, kills: [kill_commands(at, kills)],
    "windows": lambda at, kills: [kill_windows(at, kills)],
}


def inject(folder: Path, names: Iterable[str], kills: int) -> Iterator[Outcome]:
    """Inject the faults of these names below an empty folder."""
    for name in names:
        (folder / name).mkdir()
        yield from INJECTIONS[name](folder / name, kills)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--only", action="append", choices=INJECTIONS, help="by default all")
    parser.add_argument("--kills", type=int, default=200, help="at random moments, of each kind")
    return parser.parse_args()


def main() -> int:
    options = _options()
    print("| fault | injected | survived | lost |\n| --- | ---: | ---: | ---: |")
    outcomes = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_STATE_HOME"] = folder
        Path(folder).chmod(0o755)
        for one in inject(Path(folder), options.only or INJECTIONS, options.kills):
            lost = len(one.lost)
            print(f"| {one.fault} | {one.injected:,} | {one.injected - lost:,} | {lost:,} |")
            sys.stdout.flush()
            print("".join(f"{what}\n" for what in one.lost), end="", file=sys.stderr)
            outcomes.append(one)
    print(json.dumps({"benchmark": "faults", "outcomes": [asdict(one) for one in outcomes]}))
    return int(any(one.lost for one in outcomes))


if __name__ == "__main__":
    sys.exit(main())
