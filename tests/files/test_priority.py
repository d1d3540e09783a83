"""Processes that give way to windows."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lbc.files.priority import AUTOGROUP

CODE = """
import os, sys
from lbc.files.priority import AUTOGROUP, give_way
if "member" in sys.argv and os.fork():
    os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
before = AUTOGROUP.read_text()
give_way(7)
print(os.nice(0), before.split()[-1], AUTOGROUP.read_text().split()[-1])
"""

linux = pytest.mark.skipif(not AUTOGROUP.exists(), reason="Linux shares processors among sessions")


def start(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CODE, *arguments]
    return subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE, text=True)


@linux
def test_a_process_gives_way_to_other_sessions_too() -> None:
    for process in [start() for _ in range(3)]:  # Linux may refuse several at once
        assert process.communicate(timeout=60)[0].split() == ["7", "0", "7"]


@linux
def test_a_process_of_a_session_that_it_does_not_lead_leaves_that_as_it_is() -> None:
    assert start("member").communicate(timeout=60)[0].split() == ["7", "0", "0"]
