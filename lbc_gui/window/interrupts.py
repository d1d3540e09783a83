"""Ctrl-C in the terminal that started the window, and SIGTERM."""

from __future__ import annotations

import os
import signal
import socket

from PySide6.QtCore import QObject, QSocketNotifier, Slot

from lbc.__main__ import INTERRUPTED
from lbc_gui.window.shutdown import Shutdown


class Interrupts(QObject):
    """Ctrl-C closes the window as its close button does; while it closes, it ends the process.

    SIGTERM stops a training run and closes without a question. ``status`` is the exit status.
    """

    def __init__(self, closing: Shutdown, parent: QObject) -> None:
        super().__init__(parent)
        self.status = 0
        self._closing = closing
        # Python calls its handlers between two of its instructions, and Qt's loop waits outside
        # Python: the byte that Python writes for each signal ends that wait.
        self._read, self._write = socket.socketpair()
        for end in (self._read, self._write):
            end.setblocking(False)
        signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        notifier = QSocketNotifier(self._read.fileno(), QSocketNotifier.Type.Read, self)
        notifier.activated.connect(self._received)

    @Slot()
    def _received(self) -> None:
        self.status = INTERRUPTED
        for number in self._read.recv(64):
            if self._closing.started or self._closing.asking:
                os._exit(INTERRUPTED)
            if number == signal.SIGTERM:
                self._closing.start()
            else:
                self._closing.ask()
