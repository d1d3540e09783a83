"""Opens and saves experiment files, and opens runs on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QUrl, Signal, Slot
from PySide6.QtGui import QAction, QDesktopServices
from PySide6.QtWidgets import QFileDialog, QWidget

from lbc.config import Experiment, dump_experiment, load_experiment
from lbc.config.strict_yaml import ExperimentError
from lbc.runs.opened_run import open_run
from lbc.runs.run_state import RunError
from lbc_gui.file_writer import FileWriter
from lbc_gui.worker import describe

if TYPE_CHECKING:  # at run time it is imported behind the first paint
    from lbc.following.address import Address


class Files(QObject):
    """Asks for files and folders. ``failed`` says why one cannot be read or written."""

    experiment_opened = Signal(object)
    """Experiment."""
    opened = Signal(object)
    """Path of an experiment."""
    run_opened = Signal(object)
    """OpenedRun."""
    failed = Signal(str, str)
    said = Signal(str)

    def __init__(
        self, present: Callable[[], Experiment | None], runs: Path, parent: QWidget
    ) -> None:
        super().__init__(parent)
        self._window, self._present, self._runs = parent, present, runs
        self.saving = FileWriter(self)
        self.saving.said.connect(self.said)
        self.saving.failed.connect(self.failed)
        self.server: Address | None = None
        """A run on a server, to be shown once the window is complete."""

    @Slot()
    def choose_experiment(self) -> None:
        path, _ = QFileDialog.getOpenFileName(
            self._window, "Open an experiment", "", "Experiments (*.yaml *.yml)"
        )
        if path:
            self.open_experiment(Path(path))

    @Slot(QAction)
    def open_example(self, action: QAction) -> None:
        self.open_experiment(Path(action.data()))

    def open_experiment(self, path: Path) -> None:
        try:
            experiment = load_experiment(path)
        except ExperimentError as error:
            self.failed.emit(str(error), "")
        else:
            self.opened.emit(path)
            self.experiment_opened.emit(experiment)

    @Slot()
    def choose_where_to_save(self) -> None:
        experiment = self._present()
        if experiment is None:
            return
        path, _ = QFileDialog.getSaveFileName(
            self._window, "Save the experiment", f"{experiment.name}.yaml", "Experiments (*.yaml)"
        )
        if path:
            self.save_experiment(experiment, Path(path))

    def save_experiment(self, experiment: Experiment, path: Path) -> None:
        """Write an experiment file; if that fails, the old file stays."""
        self.saving.write(path, lambda file: file.write(dump_experiment(experiment).encode()))

    @Slot()
    def choose_run(self) -> None:
        folder = QFileDialog.getExistingDirectory(
            self._window, "Open a run", str(self._runs) if self._runs.is_dir() else ""
        )
        if folder:
            self.open_run(Path(folder))

    def open_run(self, folder: Path) -> None:
        try:
            run = open_run(folder)
        except RunError as error:
            self.failed.emit(str(error), "")
        else:
            self.run_opened.emit(run)

    @Slot()
    def show_runs(self) -> None:
        """Open the folder of all runs in the desktop's file manager."""
        try:
            self._runs.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self.failed.emit(describe(f"{self._runs} could not be made", error).message, "")
            return
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._runs.resolve())))
