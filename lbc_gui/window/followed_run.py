"""What the window says of a run that another process trains."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from PySide6.QtCore import QObject, Slot

from lbc.following.open_mirrors import mirror_in
from lbc.runs.opened_run import OpenedRun
from lbc_gui.run.following_thread import TrainerChanged
from lbc_gui.run.launch import Launch
from lbc_gui.run.log_panel import LogPanel
from lbc_gui.run.run_progress import RunProgress
from lbc_gui.run.session import Session
from lbc_gui.run.view_state import ViewState
from lbc_gui.widgets.message_bar import MessageBar


class Parts(Protocol):
    """The parts of the window that show a followed run."""

    session: Session
    view_state: ViewState
    starting: Launch
    progress: RunProgress
    message: MessageBar
    log: LogPanel


class FollowedRun(QObject):
    """Says who trains the run on screen, and how that ended."""

    def __init__(self, window: Parts, parent: QObject) -> None:
        super().__init__(parent)
        self._window = window
        window.session.opened.connect(self._opened)
        window.session.trainer_changed.connect(self._trainer_changed)
        window.session.deleted.connect(self._deleted)

    @Slot(object)
    def _opened(self, run: OpenedRun) -> None:
        trainer = self._window.session.trainer
        self._window.progress.show_trainer(trainer, run.status)
        if trainer is not None:
            self._window.log.say(f"It is trained by {trainer.label}.")

    @Slot(object)
    def _trainer_changed(self, change: TrainerChanged) -> None:
        window = self._window
        window.view_state.set_live(change.live)
        window.progress.show_trainer(change.trainer, change.status)
        if change.trainer is not None:
            window.message.settle(TrainerChanged)
        elif change.message:
            folder = window.session.folder
            here = folder is not None and mirror_in(folder) is None and change.status == "cut off"
            resume = {"Resume it here": self._resume} if here else {}
            window.message.show_message(change.message, remedies=resume, about=TrainerChanged)
            window.log.say(change.message)

    @Slot(object)
    def _deleted(self, folder: Path) -> None:
        window = self._window
        window.view_state.set_deleted()
        if window.session.prepared is not None:
            return  # it was trained here: what is stored next, or read, says so
        window.progress.show_trainer(None, "deleted")
        message = (
            f"The run {folder} was deleted or moved: what is on screen of it stays, and other "
            "moments cannot be read."
        )
        window.message.show_message(message, about=TrainerChanged)
        window.log.say(message)

    def _resume(self) -> None:
        folder = self._window.session.folder
        if folder is not None:
            self._window.starting.resume(folder)
