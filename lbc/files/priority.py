"""The priority of processes and threads that give way to windows."""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

NICENESS = 10
"""Of processes that the user does not wait for."""

AUTOGROUP = "/proc/{}/autogroup"
TRIES = 5
"""Linux takes a new niceness of a group from users every tenth of a second, and refuses others."""


def give_way(niceness: int, process: int | None = None) -> None:
    """Lower the priority of this process or another one, and of its session if it leads that.

    Linux first shares the processors among sessions, each of the same weight, and only within one
    looks at how nice its processes are, unless the session's group is nice too: see sched(7).
    """
    if not hasattr(os, "setpriority"):
        return
    number = os.getpid() if process is None else process
    _set_niceness(number, niceness)
    with suppress(OSError):  # it has ended, or belongs to somebody else
        if os.getsid(number) == number:  # else others, such as the user's shell, would be slower
            _set_niceness_of_session(number, niceness)


def _set_niceness_of_session(leader: int, niceness: int) -> None:
    for _ in range(TRIES):
        try:
            Path(AUTOGROUP.format(leader)).write_text(str(niceness))
            return
        except BlockingIOError:
            time.sleep(0.03)
        except OSError:  # another system, or a kernel without groups
            return


def give_way_in_thread(niceness: int) -> None:
    """Lower the priority of this thread alone, and of those that it starts: only Linux can.

    ``QThread.setPriority`` does nothing there.
    """
    if sys.platform == "linux":
        _set_niceness(threading.get_native_id(), niceness)


def _set_niceness(number: int, niceness: int) -> None:
    # A higher priority is refused, and who started this as a nice one wants it to remain so.
    with suppress(OSError):  # a sandbox may refuse it: then it is no reason not to work
        niceness = max(niceness, os.getpriority(os.PRIO_PROCESS, number))
        os.setpriority(os.PRIO_PROCESS, number, niceness)
