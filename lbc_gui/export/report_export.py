"""Saving the report of the run, in a thread of its own."""

from __future__ import annotations

import threading
import traceback
from pathlib import Path

from PySide6.QtCore import QObject, QThread, Signal, Slot
from PySide6.QtWidgets import QFileDialog, QWidget

from lbc_gui.run.session import Session


class ReportThread(QThread):
    """Writes one report; ``problem`` holds a sentence and details once it has failed."""

    def __init__(self, run_folder: Path, out: Path) -> None:
        super().__init__()
        self.run_folder, self.out = run_folder, out
        self.cancel = threading.Event()
        self.problem: tuple[str, str] | None = None

    def run(self) -> None:
        """Write the file; whatever goes wrong becomes the ``problem``."""
        from lbc.report.contents import ReportCancelled, ReportError
        from lbc.report.html_file import write_report

        try:
            write_report(self.run_folder, self.out, self.cancel)
        except ReportCancelled:
            pass
        except ReportError as error:
            self.problem = str(error), ""
        except OSError as error:
            file = error.filename or self.out
            self.problem = f"The report could not be written: {file}: {error.strerror}.", ""
        except Exception as error:
            sentence = f"The report could not be made: {type(error).__name__}: {error}"
            self.problem = sentence, traceback.format_exc()


class Reporting(QObject):
    """At most one report at a time, of the run that the session shows."""

    said = Signal(str)
    failed = Signal(str, str)
    """A sentence, and details for a bug report."""
    running_changed = Signal(bool)

    def __init__(self, session: Session, parent: QWidget) -> None:
        super().__init__(parent)
        self._window, self._session = parent, session
        self._thread: ReportThread | None = None

    @property
    def running(self) -> bool:
        return self._thread is not None

    @property
    def possible(self) -> bool:
        """Whether there is a run folder, and no report of it is being written."""
        return self._session.folder is not None and not self.running

    @Slot()
    def choose(self) -> None:
        """Ask where the report goes, and write it there."""
        folder = self._session.folder
        if folder is None:
            return
        path, _ = QFileDialog.getSaveFileName(
            self._window, "Save the report of the run", str(folder / "report.html"), "HTML (*.html)"
        )
        if path:
            self.save(folder, Path(path))

    def save(self, run_folder: Path, out: Path) -> None:
        """Write the report of a run in the place of ``out``; ``said`` or ``failed`` follows."""
        if self._thread is not None:
            return
        self._thread = ReportThread(run_folder, out)
        self._thread.finished.connect(self._finished)
        self._thread.start(QThread.Priority.LowPriority)
        self.running_changed.emit(True)

    @Slot()
    def cancel(self) -> None:
        """End the report that is being written, if any: nothing is then written."""
        if self._thread is not None:
            self._thread.cancel.set()

    @Slot()
    def _finished(self) -> None:
        thread, self._thread = self._thread, None
        if thread is None:
            return
        thread.wait()
        if thread.problem is not None:
            self.failed.emit(*thread.problem)
        elif not thread.cancel.is_set():
            self.said.emit(f"Saved the report of {thread.run_folder.name} as {thread.out}.")
        thread.deleteLater()
        self.running_changed.emit(False)
