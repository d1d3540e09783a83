"""Inject all faults, which takes minutes, and print what was lost; exit status 1 if anything."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

from tests.faults.disks import fill_disk, forbid_writing
from tests.faults.experiment import Outcome
from tests.faults.flips import flip_bits
from tests.faults.hostile import open_hostile_runs
from tests.faults.kills import kill_everywhere

FLIPS = 2000


def inject_all(folder: Path) -> Iterator[Outcome]:
    """Inject every fault below an empty folder."""
    for name, inject in (
        ("kills", lambda at: [kill_everywhere(at)]),
        ("full", lambda at: [fill_disk(at)]),
        ("forbidden", lambda at: [forbid_writing(at)]),
        ("flips", lambda at: flip_bits(at, FLIPS)),
        ("hostile", open_hostile_runs),
    ):
        (folder / name).mkdir()
        yield from inject(folder / name)


def main() -> int:
    print(f"{'fault':40} {'injected':>8} {'survived':>8} {'lost':>8}")
    losses = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_STATE_HOME"] = folder
        Path(folder).chmod(0o755)
        for one in inject_all(Path(folder)):
            lost = len(one.lost)
            survived = one.injected - lost
            print(f"{one.fault:40} {one.injected:8,} {survived:8,} {lost:8,}", flush=True)
            losses += [f"{one.fault}: {what}" for what in one.lost]
    print(*losses[:50], sep="\n")
    return int(bool(losses))


if __name__ == "__main__":
    sys.exit(main())
