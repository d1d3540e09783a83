"""Ends what is running before the window closes, and asks before it interrupts training."""

from __future__ import annotations

from PySide6.QtCore import QObject, Slot
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QWidget
from shiboken6 import isValid

from lbc_gui.run.interruption import ask_before
from lbc_gui.run.session import Session
from lbc_gui.turns import call_later
from lbc_gui.worker import Job

DESKTOPS = ("xcb", "wayland", "windows", "cocoa")
"""Qt's platforms, by the beginning of their names, with a clipboard that outlives the process."""


class Shutdown(QObject):
    """Asks, ends the threads, and closes the window after the last one has ended."""

    def __init__(self, window: QWidget, session: Session) -> None:
        super().__init__(window)
        self._window, self._session = window, session
        self._jobs: tuple[Job, ...] = ()
        self.started = self.asking = False
        session.ended.connect(self._thread_ended)

    def wait_for(self, *jobs: Job) -> None:
        """End these too before the window closes."""
        self._jobs = tuple(job for job in self._jobs if isValid(job)) + jobs
        for job in jobs:
            job.running_changed.connect(self._thread_ended)

    @property
    def over(self) -> bool:
        """Whether everything has ended and the window may close."""
        running = self._session.live or any(job.running for job in filter(isValid, self._jobs))
        return self.started and not running

    def ask(self) -> None:
        """End everything, after a question if a run is training."""
        if self.started or self.asking:
            return
        box = ask_before("Close", "the window", self.start, self._session, self._window)
        if box is not None:
            self.asking = True
            box.finished.connect(self._answered)

    @Slot()
    def _answered(self) -> None:
        self.asking = False

    @Slot()
    def start(self) -> None:
        """End the threads; the window closes by itself after the last one."""
        self.started = True
        self._window.setEnabled(False)
        for job in filter(isValid, self._jobs):
            job.close()
        self._session.close()
        if not QGuiApplication.platformName().startswith(DESKTOPS):
            # Qt would delete what was copied, an object of Python's, after Python has ended.
            QGuiApplication.clipboard().clear()

    @Slot()
    def _thread_ended(self) -> None:
        if self.started:
            call_later(self._window, self._window.close, 0)
