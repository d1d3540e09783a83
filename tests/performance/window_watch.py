"""What a window does wrong while it is used: exceptions, warnings, and gaps of its event loop."""

from __future__ import annotations

import faulthandler
import os
import re
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QEventLoop, QObject, Qt, QTimer, QUrl, Slot, qInstallMessageHandler
from PySide6.QtGui import QDesktopServices

from lbc_gui.run.failure_messages import FailureMessages

TICK = 10
"""Milliseconds between the ticks of the event loop."""

LONGEST_GAP = 0.2

_HARMLESS = (
    "This plugin does not",  # have what a screen has
    "Mouse event",  # QTest, where a widget ignores what is done
    "Keyboard event",
    # Qt commits a cell in the turn after Return; it has done so already if the focus left it.
    "QAbstractItemView::commitData called with an editor that does not belong",
)

_FRAME = re.compile(r'\s*File ".*?([^/"]+)", line (\d+) in (.*)')


class Findings:
    """What should not have been said or raised; each once, with the action before it."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.action = ""
        sys.excepthook = lambda _, error, __: self.add("exception", text_of(error))
        sys.unraisablehook = lambda args: self.add("unraisable", repr(args.exc_value))
        threading.excepthook = lambda args: self.add("thread", text_of(args.exc_value))
        qInstallMessageHandler(lambda _, __, message: self._add_qt(message))

    def add(self, kind: str, text: str) -> None:
        found = f"{kind}: {text.strip()}"
        if not self.counts[found]:
            print(f"\n{self.action} →\n{found}\n", file=sys.__stderr__, flush=True)
        self.counts[found] += 1

    def end(self) -> None:
        """Listen to Qt no longer, which may speak when Python has ended."""
        qInstallMessageHandler(None)

    def watch_failures(self) -> None:
        """Add what a window shows with a traceback."""
        findings, shown = self, FailureMessages.show

        def show(
            self: FailureMessages, sentence: str, details: str = "", about: object = None
        ) -> None:
            if "Traceback" in details:
                findings.add("failure", f"{sentence}\n{details}")
            shown(self, sentence, details, about)

        FailureMessages.show = show  # type: ignore[method-assign]

    def _add_qt(self, message: str) -> None:
        if not message.startswith(_HARMLESS):
            self.add("Qt", message)


def text_of(error: BaseException | None) -> str:
    return "".join(traceback.format_exception(error)) if error else ""


class Watch(threading.Thread):
    """Samples what the window's thread does while its event loop does not return.

    ``gaps``: seconds on the clock, seconds of processor time and the innermost lines, of each.
    """

    def __init__(self, findings: Findings) -> None:
        super().__init__(daemon=True)
        self._findings, self._window = findings, threading.main_thread()
        self._ended = threading.Event()
        self._clock = time.pthread_getcpuclockid(self._window.ident or 0)
        self._beat = (time.monotonic(), time.clock_gettime(self._clock))
        self._stack = ""
        self.gaps: deque[tuple[float, float, str, str]] = deque()
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
        self._beat = (time.monotonic(), time.clock_gettime(self._clock))

    def end(self) -> None:
        self._timer.stop()
        self._ended.set()
        self.join()

    def report(self) -> dict[str, object]:
        """The gaps, on the clock and in processor time, and what was done in the longest."""
        busy = [gap for gap in self.gaps if gap[1] > LONGEST_GAP]
        longest = sorted(self.gaps, key=lambda gap: -gap[0])[:25]
        return {
            "ticks": self.ticks,
            "gaps_over_200_ms_on_the_clock": len(self.gaps),
            "gaps_over_200_ms_of_processor_time": len(busy),
            "longest_on_the_clock_ms": round(1000 * max((gap[0] for gap in self.gaps), default=0)),
            "longest_of_processor_ms": round(1000 * max((gap[1] for gap in self.gaps), default=0)),
            "longest": [[round(1000 * at[0]), round(1000 * at[1]), *at[2:]] for at in longest],
        }

    def _tick(self) -> None:
        now = (time.monotonic(), time.clock_gettime(self._clock))
        wall, used = now[0] - self._beat[0], now[1] - self._beat[1]
        if wall > LONGEST_GAP:
            self.gaps.append((wall, used, self._findings.action, self._stack))
        self._beat, self._stack = now, ""
        self.ticks += 1

    def run(self) -> None:
        while not self._ended.wait(0.03):
            waited = time.monotonic() - self._beat[0]
            used = time.clock_gettime(self._clock) - self._beat[1]
            # Soon where it computes, and only near the bound where it waits for others.
            if (used > LONGEST_GAP / 2 or waited > 0.75 * LONGEST_GAP) and not self._stack:
                self._stack = self._where()

    def _where(self) -> str:
        """What the window's thread does. Frames are only read: whoever holds one, holds its
        painters, too, and would end them in this thread."""
        with tempfile.TemporaryFile("w+") as file:
            faulthandler.dump_traceback(file)
            file.seek(0)
            threads = file.read().split("\n\n")
        mine = next(at for at in threads if f"0x{self._window.ident:016x}" in at)
        return " < ".join(_FRAME.sub(r"\1:\2 \3", line) for line in mine.splitlines()[1:13])


class Swallow(QObject):
    """Opens what the window asks the desktop to open: nothing."""

    @Slot(QUrl)
    def open(self, url: QUrl) -> None:
        pass


def open_nothing() -> Swallow:
    """Let no browser and no file manager open; what is returned must be kept."""
    swallow = Swallow()
    for scheme in ("file", "http", "https"):
        QDesktopServices.setUrlHandler(scheme, swallow, "open")  # type: ignore[arg-type]
    return swallow


def run_loop(seconds: float) -> None:
    """Let the window live for a while."""
    loop = QEventLoop()
    QTimer.singleShot(int(seconds * 1000), loop.quit)
    loop.exec()


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    """Let it live until something is true, or the time is over."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        run_loop(0.05)


def isolate(folder: Path) -> None:
    """Keep settings, caches and the trash in ``folder``, and reach no server."""
    for variable in ("XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        os.environ[variable] = str(folder / variable)
    ssh = folder / "bin" / "ssh"
    ssh.parent.mkdir()
    ssh.write_text("#!/bin/sh\nexit 255\n")
    ssh.chmod(0o755)
    os.environ["PATH"] = f"{ssh.parent}{os.pathsep}{os.environ['PATH']}"
    os.environ["https_proxy"] = os.environ["http_proxy"] = "http://127.0.0.1:9"
