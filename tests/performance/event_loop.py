"""Gaps in the event loop of a window: how long, what the thread did, and what it waited for."""

from __future__ import annotations

import faulthandler
import os
import re
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import astuple, dataclass
from pathlib import Path

from PySide6.QtCore import Qt, QTimer

TICK = 10
"""Milliseconds between the ticks of the event loop."""

LONGEST_GAP = 0.2

_FRAME = re.compile(r'\s*File ".*?([^/"]+)", line (\d+) in (.*)')


@dataclass(frozen=True)
class Moment:
    """What the calling thread has used since it began; seconds, but for ``faults``.

    Linux says all of it; elsewhere the last three are 0.
    """

    clock: float
    computed: float
    queued: float
    """Ready to compute, with every processor busy."""
    stolen: float
    """Taken from all processors by the host of a virtual machine."""
    faults: int
    """Pages of memory that were read from the disk before the thread could continue."""

    @classmethod
    def now(cls) -> Moment:
        clock, computed = time.monotonic(), time.thread_time()
        if sys.platform != "linux":
            return cls(clock, computed, 0.0, 0.0, 0)
        import resource

        queued = int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
        with Path("/proc/stat").open() as file:
            stolen = int(file.readline().split()[8]) / os.sysconf("SC_CLK_TCK")
        faults = resource.getrusage(resource.RUSAGE_THREAD).ru_majflt
        return cls(clock, computed, queued, stolen, faults)

    def __sub__(self, other: Moment) -> Moment:
        return Moment(*(a - b for a, b in zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True)
class Gap:
    """A time in which the event loop did not return, in what action, and where the thread was."""

    spent: Moment
    action: str
    stack: str

    def report(self) -> dict[str, object]:
        """Milliseconds, but for ``faults``; ``blocked`` waited for a lock or the disk."""
        spent = self.spent
        return {
            "clock": round(1000 * spent.clock),
            "computed": round(1000 * spent.computed),
            "queued": round(1000 * spent.queued),
            "blocked": round(1000 * (spent.clock - spent.computed - spent.queued)),
            "stolen": round(1000 * spent.stolen),
            "faults": spent.faults,
            "action": self.action,
            "stack": self.stack,
        }


class Watch(threading.Thread):
    """Records the gaps of the main thread's event loop, and samples where it is in them.

    ``action`` names what is being done, for the record.
    """

    def __init__(self, action: Callable[[], str]) -> None:
        super().__init__(daemon=True)
        self._action, self._window = action, threading.main_thread()
        self._ended = threading.Event()
        self._clock = time.pthread_getcpuclockid(self._window.ident or 0)
        self._beat = Moment.now()
        self._stack = ""
        self.gaps: deque[Gap] = deque()
        self.ticks = 0

    def begin(self) -> None:
        """Start, with a timer in the window's thread."""
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._tick)
        self.restart()
        self._timer.start(TICK)
        self.start()

    def restart(self) -> None:
        """Forget what has passed since the last tick."""
        self._beat = Moment.now()

    def end(self) -> None:
        self._timer.stop()
        self._ended.set()
        self.join()

    def report(self) -> dict[str, object]:
        """The gaps, on the clock and in processor time, and what the longest were spent on."""
        by_length = sorted(self.gaps, key=lambda gap: -gap.spent.clock)
        computed = [gap.spent.computed for gap in self.gaps]
        longest = by_length[0].spent.clock if by_length else 0.0
        return {
            "ticks": self.ticks,
            "gaps_over_200_ms_on_the_clock": len(self.gaps),
            "gaps_over_200_ms_of_processor_time": sum(at > LONGEST_GAP for at in computed),
            "longest_on_the_clock_ms": round(1000 * longest),
            "longest_of_processor_ms": round(1000 * max(computed, default=0)),
            "longest": [gap.report() for gap in by_length[:25]],
        }

    def _tick(self) -> None:
        now = Moment.now()
        spent = now - self._beat
        if spent.clock > LONGEST_GAP:
            self.gaps.append(Gap(spent, self._action(), self._stack))
        self._beat, self._stack = now, ""
        self.ticks += 1

    def run(self) -> None:
        while not self._ended.wait(0.03):
            waited = time.monotonic() - self._beat.clock
            computed = time.clock_gettime(self._clock) - self._beat.computed
            # Soon where it computes, and only near the bound where it waits for others.
            if (computed > LONGEST_GAP / 2 or waited > 0.75 * LONGEST_GAP) and not self._stack:
                self._stack = self._where()

    def _where(self) -> str:
        """The innermost lines. Frames are only read: whoever holds one, holds its painters, too,
        and would end them in this thread."""
        with tempfile.TemporaryFile("w+") as file:
            faulthandler.dump_traceback(file)
            file.seek(0)
            threads = file.read().split("\n\n")
        mine = next(at for at in threads if f"0x{self._window.ident:016x}" in at)
        return " < ".join(_FRAME.sub(r"\1:\2 \3", line) for line in mine.splitlines()[1:13])
