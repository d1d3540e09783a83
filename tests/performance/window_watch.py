"""What a window does wrong while it is used: exceptions, warnings, failures with a traceback."""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QEventLoop, QObject, QTimer, QUrl, Slot, qInstallMessageHandler
from PySide6.QtGui import QDesktopServices

from lbc_gui.run.failure_messages import FailureMessages

_HARMLESS = (
    "This plugin does not",  # have what a screen has
    "Mouse event",  # QTest, where a widget ignores what is done
    "Keyboard event",
    # Qt commits a cell in the turn after Return; it has done so already if the focus left it.
    "QAbstractItemView::commitData called with an editor that does not belong",
)


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
