"""The copies in the user's cache: one process for each, completed later, deleted in time."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from lbc.files.lock import lock
from lbc.following.address import Address
from lbc.following.mirror_folders import KEPT_DAYS, LOCK, mirror_folder

RUN = Address.parse("ssh://server/runs/first")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def test_two_viewers_of_a_run_have_a_copy_each_and_the_next_completes_the_first() -> None:
    with mirror_folder(RUN) as first, mirror_folder(RUN) as second:
        assert first.name == second.name == "first"
        assert first != second
    with mirror_folder(RUN) as again:
        assert again == first


@pytest.mark.parametrize("reason", ["old", "many"])
def test_copies_that_are_old_or_too_many_are_deleted_unless_in_use(
    reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mirror_folder(RUN) as left, mirror_folder(RUN) as used:
        for folder in (left, used):
            folder.mkdir()
            (folder / "steps.records").write_bytes(bytes(100))
            if reason == "old":
                long_ago = time.time() - (KEPT_DAYS + 1) * 86_400
                os.utime(folder.with_name(LOCK), (long_ago, long_ago))
    if reason == "many":
        monkeypatch.setattr("lbc.following.mirror_folders.MOST_BYTES", 50)
    other = Address.parse("ssh://server/runs/other")
    with (used.with_name(LOCK)).open("ab") as guard:
        assert lock(guard)
        with mirror_folder(other):
            assert not left.exists()
            assert used.exists()
