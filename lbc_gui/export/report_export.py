"""Saves the report of the run, in a thread of its own."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QThread, Slot
from PySide6.QtWidgets import QFileDialog, QWidget

from lbc_gui.run.session import Session
from lbc_gui.run.view_state import DELETED, ViewState
from lbc_gui.worker import Failed, Job, Worker, describe


class ReportThread(Worker):
    """Writes one report; nothing is written once it is cancelled."""

    def __init__(self, run_folder: Path, out: Path, parent: Job) -> None:
        super().__init__(parent)
        self._run_folder, self._out = run_folder, out

    def work(self) -> None:
        from lbc.report.contents import ReportCancelled
        from lbc.report.page import write_report

        try:
            write_report(self._run_folder, self._out, self.cancelled)
        except ReportCancelled:
            return
        self.post(f"Saved the report of {self._run_folder.name} as {self._out}.")

    def failure(self, error: Exception) -> Failed:
        from lbc.report.contents import ReportError

        file = error.filename if isinstance(error, OSError) else None
        return describe(f"The report could not be written: {file or self._out}", error, ReportError)


class ReportExport(Job):
    """Writes one report at a time, of the run that the session shows."""

    def __init__(self, session: Session, state: ViewState, parent: QWidget) -> None:
        super().__init__(parent)
        self._window, self._session, self._state = parent, session, state

    @property
    def why_not(self) -> str:
        """Why no report of the run on screen can be written now; empty if one can."""
        if self._session.folder is None:
            return "Run, or open a run first"
        if self._state.view.deleted:
            return DELETED
        return "A report is being written" if self.running else ""

    @Slot()
    def choose(self) -> None:
        """Ask where the report goes, and write it there."""
        if self._session.folder is not None:
            self.choose_for(self._session.folder)

    def choose_for(self, folder: Path) -> None:
        """Ask where the report of a run on disk goes, and write it there."""
        path, _ = QFileDialog.getSaveFileName(
            self._window, "Save the report of the run", str(folder / "report.html"), "HTML (*.html)"
        )
        if path:
            self.save(folder, Path(path))

    def save(self, run_folder: Path, out: Path) -> None:
        """Write the report of a run in the place of ``out``; ``said`` or ``failed`` follows."""
        if not self.running:
            self._launch(ReportThread(run_folder, out, self), QThread.Priority.LowPriority)
