"""What the page Runs does with the rest of the window: opens, resumes, reports, fills the form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from PySide6.QtCore import QObject, QUrl, Signal, Slot
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QWidget

from lbc.config import load_experiment
from lbc.config.strict_yaml import ExperimentError
from lbc.files.printable import printable
from lbc.library.differences import identify_experiment
from lbc.library.run_summary import RunSummary
from lbc.runs.events import EpochDone, Event, Finished, Resumed, Started
from lbc.runs.opened_run import OpenedRun
from lbc.runs.own_runs import may_import
from lbc_gui.experiment.experiment_panel import ExperimentPanel
from lbc_gui.export.report_export import ReportExport
from lbc_gui.export.view_export import ViewExport
from lbc_gui.library.run_changes import Done
from lbc_gui.run.launch import Launch
from lbc_gui.run.log_panel import LogPanel
from lbc_gui.run.run_progress import RunProgress
from lbc_gui.run.session import Session
from lbc_gui.run.view_state import ViewState
from lbc_gui.run.worker import Failed, Job
from lbc_gui.widgets.message_bar import MessageBar
from lbc_gui.window.file_dialogs import Files
from lbc_gui.window.followed_run import FollowedRun
from lbc_gui.window.pages import Pages
from lbc_gui.window.shutdown import Shutdown

if TYPE_CHECKING:  # at run time it is imported behind the first paint
    from lbc_gui.queue.run_queue import RunQueue


class Parts(Protocol):
    """The parts of the window that runs are shown in, and what acts on them."""

    pages: Pages
    view_state: ViewState
    session: Session
    experiment_panel: ExperimentPanel
    files: Files
    starting: Launch
    reporting: ReportExport
    saving: ViewExport
    closing: Shutdown
    message: MessageBar
    progress: RunProgress
    log: LogPanel
    queue: RunQueue


VARIED = "optimizer.lr"
"""The setting that is proposed for a variation; others are added in the form."""


class RunActions(QObject):
    """Carries out the commands of the table that concern other parts of the window."""

    said = Signal(str)
    failed = Signal(str, str)

    def __init__(self, window: Parts, parent: QWidget) -> None:
        super().__init__(parent)
        self._window, self._page = window, window.pages.library
        self._expected: tuple[Path, Callable[[], object]] | None = None
        """A run that the user has asked for, and what is to be done once it is there."""
        window.closing.wait_for(self._page.reader)
        self._page.commanded.connect(self._carry_out)
        self._page.changed.connect(self._show_change)
        self._page.failed.connect(self.failed)
        self._page.said.connect(self.said)
        self._page.comparison.built.connect(self._connect_pane)
        self._page.comparison.masks_requested.connect(self._show_masks)
        window.queue.panel.opened.connect(self.open)
        window.session.opened.connect(self._opened)
        window.session.events_arrived.connect(self._events_arrived)
        FollowedRun(window, self)

    @Slot(str, object)
    def _carry_out(self, name: str, runs: Sequence[RunSummary]) -> None:
        folder = runs[0].folder
        match name:
            case "open":
                self.open(folder)
            case "resume":
                self._expected = folder, partial(self._window.pages.setCurrentIndex, 0)
                self._window.starting.resume(folder)
            case "report" if self._window.reporting.running:
                self.failed.emit("Another report is being written: wait until it is there.", "")
            case "report":
                self._window.reporting.choose_for(folder)
            case "folder":
                QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder.resolve())))
            case "again":
                for run in {identify_experiment(run.parameters): run for run in runs}.values():
                    self._use_settings(name, run)
            case _:  # several runs differ in their seeds alone
                self._use_settings(name, runs[0])

    def _use_settings(self, name: str, run: RunSummary) -> None:
        """Do what a command does with the experiment of a run."""
        title, panel = printable(run.title), self._window.experiment_panel
        try:
            experiment = load_experiment(run.folder / "experiment.yaml")
        except ExperimentError as error:
            self.failed.emit(str(error), "")
            return
        match name:
            case "form":
                panel.form.enter_experiment(experiment)
                self.said.emit(f"The form has the settings of {title}.")
            case "vary":
                panel.form.enter_experiment(experiment)
                panel.form.menu.vary_requested.emit(VARIED)
            case "form_difference":
                panel.compare_with(experiment)
                self.said.emit(f"The form marks what differs from {title}.")
            case "again" if not may_import(run.folder, experiment.model):
                self.failed.emit(
                    f"The model of {title} is code, and you did not start this run on this "
                    "computer: take its settings into the form, and queue or run them there.", ""
                )  # fmt: skip
            case "again":
                self._window.queue.repeat(experiment, self._page.seeds_of(run))

    @Slot(object)
    def _opened(self, run: OpenedRun) -> None:
        self._show(run.folder)

    @Slot(object)
    def _events_arrived(self, events: Sequence[Event | Failed]) -> None:
        """List a run that begins, moves or ends here without waiting for the next look."""
        for event in events:
            if isinstance(event, Resumed):
                self._show(event.folder)
        if any(isinstance(event, Started | Resumed | EpochDone | Finished) for event in events):
            self._page.refresh()

    @Slot(Path)
    def open(self, folder: Path) -> None:
        """Show a run on the pages of the run."""
        self._open(folder, partial(self._window.pages.setCurrentIndex, 0))

    def _open(self, folder: Path, then: Callable[[], object]) -> None:
        self._expected = folder, then
        self._window.files.open_run(folder)

    def _show(self, folder: Path) -> None:
        """Do what the user wants with the run that is now in the window."""
        expected, self._expected = self._expected, None
        if expected is not None and expected[0] == folder:
            expected[1]()

    @Slot(object, object)
    def _connect_pane(self, pane: QWidget, job: Job | None) -> None:
        self._window.saving.add(pane)
        if job is not None:
            self._window.closing.wait_for(job)

    @Slot(object, object, str)
    def _show_masks(self, first: Path, second: Path, layer: str) -> None:
        """Open one run, with its masks beside those of another."""

        def compare() -> None:
            if layer:
                self._window.view_state.open_layer(layer)
            self._window.pages.masks.compare.compare_with(second)
            self._window.pages.setCurrentWidget(self._window.pages.masks)

        self._open(first, compare)

    @Slot(object)
    def _show_change(self, done: Done) -> None:
        """Say what was changed and offer to take it back; say what could not be changed."""
        if done.undo is None:
            self._window.message.settle(Done)
            if done.problems:
                self.failed.emit("\n".join(done.problems), "")
            return
        undo = {"Undo": partial(self._page.reader.change, done.undo)}
        sentence, fine = "\n".join([done.sentence, *done.problems]), not done.problems
        self._window.message.show_message(sentence, remedies=undo, about=Done, notice=fine)
