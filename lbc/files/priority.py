"""The priority of a process that gives way to windows."""

from __future__ import annotations

import os
import time
from pathlib import Path

AUTOGROUP = Path("/proc/self/autogroup")
TRIES = 5
"""Linux takes a new niceness of a group from users every tenth of a second, and refuses others."""


def give_way(niceness: int) -> None:
    """Lower the priority of this process, and of its session if it leads that.

    Linux first shares the processors among sessions, each of the same weight, and only within one
    looks at how nice its processes are, unless the session's group is nice too: see sched(7).
    """
    if not hasattr(os, "nice"):
        return
    os.nice(niceness)
    if os.getsid(0) != os.getpid():  # others, such as the user's shell, keep their priority
        return
    for _ in range(TRIES):
        try:
            AUTOGROUP.write_text(str(niceness))
            return
        except BlockingIOError:
            time.sleep(0.03)
        except OSError:  # another system, or a kernel without groups
            return
