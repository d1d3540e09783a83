"""Processes that give way to windows."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lbc.files.priority import AUTOGROUP

CODE = """
import os
from lbc.files.priority import AUTOGROUP, give_way
before = AUTOGROUP.read_text()
give_way(7)
print(os.nice(0), before.split()[-1], AUTOGROUP.read_text().split()[-1])
"""


@pytest.mark.skipif(not AUTOGROUP.exists(), reason="Linux shares processors among sessions")
def test_a_process_gives_way_to_other_sessions_too() -> None:
    command = [sys.executable, "-c", CODE]
    processes = [
        subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE, text=True)
        for _ in range(3)  # Linux may refuse several at once
    ]
    for process in processes:
        assert process.communicate(timeout=60)[0].split() == ["7", "0", "7"]
