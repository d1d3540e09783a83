"""The most memory that training a run has needed."""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from pathlib import Path

import torch

_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")


class PeakMemory:
    """Measures this process from when it is made; where the system cannot reset its peak, the
    process's whole life counts.

    In a process of its own that is the memory of the run; in the window, it is the window's too.
    """

    def __init__(self) -> None:
        with suppress(OSError):
            _RESET.write_text("5")
        for device in _gpus():
            torch.cuda.reset_peak_memory_stats(device)

    @property
    def bytes(self) -> int:
        """On a GPU the most that tensors took there, else the most physical memory that the process
        had at once; 0 if the system does not say."""
        return sum(torch.cuda.max_memory_allocated(at) for at in _gpus()) or _resident()


def _gpus() -> range:
    used = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return range(torch.cuda.device_count() if used else 0)


def _resident() -> int:
    # Linux's getrusage starts with the peak of the program that started this one.
    with suppress(OSError):
        found = re.search(r"VmHWM:\s*(\d+) kB", _STATUS.read_text())
        return 1024 * int(found[1]) if found else 0
    if sys.platform != "win32":
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return used if sys.platform == "darwin" else 1024 * used
    return 0
