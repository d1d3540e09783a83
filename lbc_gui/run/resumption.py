"""Resumes an unfinished run."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QObject, Signal, Slot
from PySide6.QtWidgets import QFileDialog, QWidget

from lbc.runs.unfinished_run import RunError, UnfinishedRun, newest_unfinished, open_unfinished
from lbc_gui.settings import Settings
from lbc_gui.widgets.message_bar import MessageBar


class Resumption(QObject):
    """Finds the run to resume: the newest one, offered in the message bar, or any folder."""

    chosen = Signal(object)
    """UnfinishedRun."""

    def __init__(self, message: MessageBar, settings: Settings, runs: Path, parent: QWidget):
        super().__init__(parent)
        self._window = parent
        self._message = message
        self._settings = settings
        self._runs = runs
        self._offered: UnfinishedRun | None = None
        message.accepted.connect(self._accepted)
        message.declined.connect(self._declined)

    def offer(self) -> None:
        """Offer to resume the newest run in the message bar, unless that was declined before."""
        run = newest_unfinished(self._runs)
        if run is not None and str(run.path) != self._settings.declined_run:
            self._offered = run
            self._message.offer(run.described, "Resume")

    @Slot()
    def choose(self) -> None:
        """Let the user choose the folder of a run."""
        folder = QFileDialog.getExistingDirectory(
            self._window, "Resume a run", str(self._runs) if self._runs.is_dir() else ""
        )
        if folder:
            self.open(Path(folder))

    def open(self, folder: Path) -> None:
        """Resume the run in a folder; show why if that is impossible."""
        try:
            run = open_unfinished(folder)
        except RunError as error:
            self._message.show_message(str(error))
        else:
            self.chosen.emit(run)

    @Slot()
    def _accepted(self) -> None:
        if self._offered is not None:
            self.open(self._offered.path)

    @Slot()
    def _declined(self) -> None:
        if self._offered is not None:
            self._settings.declined_run = str(self._offered.path)
