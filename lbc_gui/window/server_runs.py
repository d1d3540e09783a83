"""Runs on servers: asks for an address, and copies the run for as long as it is shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Slot
from PySide6.QtWidgets import QMessageBox, QWidget

from lbc.following.address import Address
from lbc.runs.mirror_state import MirrorState
from lbc_gui.run.session import Session
from lbc_gui.settings import Settings
from lbc_gui.widgets.message_bar import MessageBar
from lbc_gui.worker import Failed, Job, Worker, describe

if TYPE_CHECKING:
    from lbc_gui.window.server_dialog import ServerDialog


class MirrorWorker(Worker):
    """Copies a run until it is cancelled; posts each ``MirrorState``."""

    def __init__(self, address: Address, parent: QObject) -> None:
        super().__init__(parent)
        self.address = address
        self.folder: Path | None = None

    def work(self) -> None:
        # Imported here: its messages take a while to prepare, and this is not the window's thread.
        from lbc.following.mirror import Mirror
        from lbc.following.mirror_folders import mirror_folder

        with mirror_folder(self.address) as folder:
            mirror = Mirror(self.address, folder, self.post)
            self.folder = folder
            mirror.start()
            self.cancelled.wait()
            mirror.close()

    def failure(self, error: Exception) -> Failed:
        return describe("The run on the server could not be copied", error)


class ServerRuns(Job):
    """Follows one run on a server, for as long as the window shows it."""

    def __init__(
        self,
        session: Session,
        settings: Settings,
        open_run: Callable[[Path], object],
        message: MessageBar,
        window: QWidget,
    ) -> None:
        super().__init__(window)
        self._session, self._settings = session, settings
        self._open_run, self._message, self._window = open_run, message, window
        self._worker: MirrorWorker | None = None
        self._dialog: ServerDialog | None = None
        self._state = MirrorState()
        self.arrived.connect(self._show_states)
        self.failed.connect(self._show_failure)
        session.loaded.connect(self._show_loaded)

    @Slot()
    def ask(self, address: Address | None = None) -> None:
        """Let the user enter an address; connect at once to one that is given."""
        dialog = self._dialog
        if dialog is None:
            from lbc_gui.window.server_dialog import ServerDialog

            dialog = self._dialog = ServerDialog(self._settings.recent_servers, self._window)
            dialog.requested.connect(self.follow)
            dialog.finished.connect(self._close_dialog)
            dialog.open()
        if address is not None:
            dialog.enter(address)
            self.follow(address)

    @Slot(object)
    def follow(self, address: Address) -> None:
        """Copy the run at an address, and show it once it is there."""
        self._leave()
        self._state = MirrorState()
        self._worker = MirrorWorker(address, self)
        if self._dialog is not None:
            self._dialog.show_connecting(address)
        self._launch(self._worker)

    @Slot()
    def _leave(self) -> None:
        if self._worker is not None:
            self._worker.cancelled.set()
            self._worker = None

    @Slot(int)
    def _close_dialog(self) -> None:
        dialog, self._dialog = self._dialog, None
        if dialog is not None:
            dialog.deleteLater()
        if not self._state.ready:
            self._leave()

    @Slot(object)
    def _show_states(self, states: list[MirrorState]) -> None:
        if self._worker is None or states[-1].source != self._worker.address.text:
            return  # of a connection that was ended
        before, state = self._state, states[-1]
        self._state = state
        if before.ready and before.connected != state.connected:
            self._session.state_changed.emit(self._session.state)  # the title says so
        if self._dialog is not None and not state.ready:
            self._dialog.show_state(state)
            if state.message:
                self._leave()
                self._dialog.show_problem(state.message)
        elif state.ready and not before.ready:
            self._show_run()
        elif state.message and state.message != before.message:
            rest = "What was copied stays" + (
                "." if state.over else ", and connecting is tried again."
            )
            self._message.show_message(f"{state.message} {rest}", about=ServerRuns)
            self.said.emit(state.message)
        elif state.notice != before.notice:
            self._message.show_message(state.notice, about=ServerRuns)
        elif state.connected and not before.connected:
            self._message.settle(ServerRuns)
            self.said.emit(f"Connected to {state.server} again.")

    def _show_run(self) -> None:
        assert self._worker is not None
        self._settings.add_server(self._worker.address.text)
        if self._dialog is not None:
            self._dialog.accept()
        if self._worker.folder is not None:
            self._open_run(self._worker.folder)
            if self._session.training:  # which the user is asked about first
                for question in self._window.findChildren(QMessageBox):
                    question.rejected.connect(self._leave)

    @Slot(str, str)
    def _show_failure(self, sentence: str, details: str) -> None:
        if self._dialog is not None:
            self._dialog.show_problem(sentence)
        else:
            self._message.show_message(sentence, details, about=ServerRuns)

    @Slot()
    def _show_loaded(self) -> None:
        """End the connection once the window shows another run."""
        worker = self._worker
        if worker is not None and self._state.ready and self._session.folder != worker.folder:
            self._leave()
