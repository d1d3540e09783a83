"""A few faults of every kind; ``python -m tests.faults`` injects all of them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("needs fork, kill and limits on file sizes", allow_module_level=True)

from tests.faults.disks import fill_disk, forbid_writing
from tests.faults.flips import flip_bits
from tests.faults.kills import kill_everywhere


def test_a_run_killed_while_it_is_created_starts_or_resumes(tmp_path: Path) -> None:
    outcome = kill_everywhere(tmp_path, moments=range(1, 40, 6))
    assert outcome.injected == 7 and not outcome.lost


def test_a_full_or_forbidden_disk_loses_nothing(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    outcome = fill_disk(tmp_path / "full", sizes=[0, 300, 1500, 9000])
    assert outcome.injected == 8 and not outcome.lost
    (tmp_path / "forbidden").mkdir()
    outcome = forbid_writing(tmp_path / "forbidden", steps=[2])
    assert outcome.injected == 1 and not outcome.lost


def test_no_flipped_bit_is_read_as_other_content(tmp_path: Path) -> None:
    outcomes = flip_bits(tmp_path, count=40)
    assert sum(one.injected for one in outcomes) == 200
    assert [what for one in outcomes for what in one.lost] == []
