"""What the page Runs does with the rest of the window: opens, resumes, reports, fills the form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from PySide6.QtCore import QObject, QUrl, Signal, Slot
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QWidget

from lbc.config.strict_yaml import ExperimentError
from lbc.files.printable import printable
from lbc.library.differences import identify_experiment
from lbc.library.run_summary import RunSummary
from lbc.runs.effective_experiment import effective_experiment
from lbc.runs.events import EpochDone, Event, Finished, Resumed, Started
from lbc.runs.opened_run import OpenedRun
from lbc.runs.own_runs import may_import
from lbc.runs.parent_run import find_parent
from lbc.runs.run_state import RunError, read_state
from lbc_gui.comparisons.comparison_page import OpenedComparison
from lbc_gui.library.library_page import LibraryPage
from lbc_gui.library.run_changes import Done
from lbc_gui.window.followed_run import FollowedRun
from lbc_gui.window.fork_actions import ForkActions
from lbc_gui.window.prune_actions import PruneActions
from lbc_gui.window.run_parts import Parts
from lbc_gui.window.server_runs import ServerRuns
from lbc_gui.worker import Failed, Job

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
        self._forks = ForkActions(window, parent)
        self._forks.said.connect(self.said)
        self._forks.failed.connect(self.failed)
        self._prunings = PruneActions(window, parent)
        self._prunings.said.connect(self.said)
        self._prunings.failed.connect(self.failed)
        self._serve(self._page)
        comparisons = window.pages.comparisons
        window.closing.wait_for(comparisons.starting)
        comparisons.failed.connect(self.failed)
        comparisons.opened.connect(self._serve_comparison)
        window.actions_.compare.triggered.connect(self._compare_methods)
        window.queue.panel.opened.connect(self.open)
        window.curves.fork_note.compare_requested.connect(self._compare_present)
        window.session.parent_found.connect(window.curves.show_parent)
        window.session.opened.connect(self._opened)
        window.session.events_arrived.connect(self._events_arrived)
        FollowedRun(window, self)
        self._follow_servers(window, parent)

    def _serve(self, page: LibraryPage) -> None:
        """Carry out what is asked for in a table of runs."""
        self._window.closing.wait_for(page.reader)
        page.commanded.connect(self._carry_out)
        page.changed.connect(partial(self._show_change, page))
        page.failed.connect(self.failed)
        page.said.connect(self.said)
        page.comparison.built.connect(self._connect_pane)
        page.comparison.masks_requested.connect(self._show_masks)

    @Slot(object)
    def _serve_comparison(self, comparison: OpenedComparison) -> None:
        self._window.closing.wait_for(comparison.following)
        comparison.queue.opened.connect(self.open)
        self._serve(comparison.library)

    @Slot()
    def _compare_methods(self) -> None:
        self._window.pages.setCurrentWidget(self._window.pages.comparisons)
        self._window.pages.comparisons.ask()

    def _follow_servers(self, window: Parts, parent: QWidget) -> None:
        open_run, message = window.files.open_run, window.message
        servers = ServerRuns(window.session, window.settings, open_run, message, parent)
        servers.said.connect(self.said)
        window.closing.wait_for(servers)
        window.actions_.open_server.triggered.connect(lambda: servers.ask())
        for heatmap in (window.pages.scores.heatmap, window.pages.masks.heatmap):
            heatmap.part_shown.connect(self._show_part)
        window.pages.currentChanged.connect(self._show_part)
        if window.files.server is not None:
            servers.ask(window.files.server)

    @Slot()
    def _show_part(self) -> None:
        """Let a server draw what is visible of the page on screen."""
        page = self._window.pages.run_page
        if page is not None:
            self._window.session.show_part(page.heatmap.part)

    @Slot(str, object)
    def _carry_out(self, name: str, runs: Sequence[RunSummary]) -> None:
        folder = runs[0].folder
        match name:
            case "open":
                self.open(folder)
            case "fork":
                self._forks.fork(folder)
            case "prune":
                self._prunings.prune(folder)
            case "compare_parent":
                self.compare_with_parent(folder)
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
            experiment = effective_experiment(run.folder)
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
            elif isinstance(event, Finished) and event.status == "finished":
                self._offer_comparison(event)
        if any(isinstance(event, Started | Resumed | EpochDone | Finished) for event in events):
            self._page.refresh()

    @Slot()
    def _compare_present(self) -> None:
        if self._window.session.folder is not None:
            self.compare_with_parent(self._window.session.folder)

    def compare_with_parent(self, folder: Path) -> None:
        """Show the comparison of a fork with its parent, the baseline, on the page Runs."""
        try:
            parent = read_state(folder).parent
        except RunError as error:
            self.failed.emit(str(error), "")
            return
        place = None if parent is None else find_parent(folder, parent)
        if parent is None or place is None:
            missing = f": {parent.folder} was moved or deleted" if parent else ", as it is no fork"
            self.failed.emit(f"{folder.name} cannot be compared with its parent{missing}.", "")
            return
        self._window.pages.setCurrentWidget(self._page)
        self._page.compare((place, folder), baseline=place)

    def _offer_comparison(self, done: Finished) -> None:
        """Say how a fork has ended, and how its parent did."""
        parent, folder = self._window.session.forked_from, done.folder
        if parent is None or folder is None or done.accuracy is None:
            return
        sentence = f"The fork {folder.name} has finished with {100 * done.accuracy:.2f} %"
        place, before = find_parent(folder, parent), None
        with suppress(RunError):
            before = None if place is None else read_state(place)
        if before is not None and before.status == "finished" and before.accuracy is not None:
            sentence += f", its parent with {100 * before.accuracy:.2f} %"
        compare = {"Compare them": partial(self.compare_with_parent, folder)}
        self._window.message.show_message(
            f"{sentence}.", remedies={} if place is None else compare, notice=True
        )

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

    def _show_change(self, page: LibraryPage, done: Done) -> None:
        """Say what was changed and offer to take it back; say what could not be changed."""
        if done.undo is None:
            self._window.message.settle(Done)
            if done.problems:
                self.failed.emit("\n".join(done.problems), "")
            return
        undo = {"Undo": partial(page.reader.change, done.undo)}
        sentence, fine = "\n".join([done.sentence, *done.problems]), not done.problems
        self._window.message.show_message(sentence, remedies=undo, about=Done, notice=fine)
