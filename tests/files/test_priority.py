"""Processes that give way to windows."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lbc.files.priority import AUTOGROUP, give_way

OWN = Path(AUTOGROUP.format("self"))
NICER = min(os.nice(0) + 7, 19) if OWN.exists() else 7  # the tests may be in a nice process
CODE = f"""
import os, sys
from pathlib import Path
from lbc.files.priority import AUTOGROUP, give_way
OWN = Path(AUTOGROUP.format("self"))
if "member" in sys.argv and os.fork():
    os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
before = OWN.read_text()
give_way({NICER})
print(os.nice(0), before.split()[-1], OWN.read_text().split()[-1])
"""

linux = pytest.mark.skipif(not OWN.exists(), reason="Linux shares processors among sessions")


def start(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CODE, *arguments]
    return subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE, text=True)


@linux
def test_a_process_gives_way_to_other_sessions_too() -> None:
    for process in [start() for _ in range(3)]:  # Linux may refuse several at once
        with process:
            assert process.communicate(timeout=60)[0].split() == [str(NICER), "0", str(NICER)]


@linux
def test_a_process_of_a_session_that_it_does_not_lead_leaves_that_as_it_is() -> None:
    assert start("member").communicate(timeout=60)[0].split() == [str(NICER), "0", "0"]


@linux
@pytest.mark.parametrize("leads", [True, False])
def test_another_process_gives_way_before_it_has_done_anything(leads: bool) -> None:
    code = f"input(); import os; print(os.nice(0)); print(open('{OWN}').read())"
    before = OWN.read_text()  # of a session that the system itself started, this is empty
    with subprocess.Popen(
        [sys.executable, "-c", code], start_new_session=leads,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        give_way(NICER, process.pid)
        niceness, of_session = process.communicate("\n", timeout=60)[0].split("\n", 1)
    assert niceness == str(NICER)
    assert of_session.split()[-1] == str(NICER) if leads else of_session.strip() == before.strip()
    assert OWN.read_text() == before
    give_way(NICER, process.pid)  # which has ended
