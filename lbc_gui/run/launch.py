"""Prepares the experiment in the form at once, trains it on Run, and resumes unfinished runs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from PySide6.QtCore import QObject, Qt, Signal, Slot
from PySide6.QtWidgets import QFileDialog, QMessageBox, QWidget

from lbc.config import EXTERNAL, Experiment
from lbc.runs.opened_run import OpenedRun
from lbc.runs.own_runs import may_import
from lbc.runs.run_state import RunError
from lbc.runs.unfinished_run import UnfinishedRun, newest_unfinished, open_unfinished
from lbc_gui.experiment.experiment_panel import ExperimentPanel
from lbc_gui.run.apply_now import ApplyNow
from lbc_gui.run.interruption import ask_before
from lbc_gui.run.remedies import Remedies
from lbc_gui.run.session import Session, State
from lbc_gui.settings import Settings
from lbc_gui.widgets.message_bar import MessageBar


class Launch(QObject):
    """Runs a model's external code only after Run or Reset was pressed for that model.

    When a run replaces the one before, ``message`` is hidden: it was about that one.
    """

    said = Signal(str)
    """A sentence for the log."""

    def __init__(
        self,
        session: Session,
        form: ExperimentPanel,
        message: MessageBar,
        settings: Settings,
        window: QWidget,
    ) -> None:
        super().__init__(window)
        self._session, self._form, self._message = session, form, message
        self._settings, self._window = settings, window
        self.remedies = Remedies(form.form, message, window)
        self.remedies.downloaded.connect(self._retry)
        self._approved: object = None
        self._offered: Path | None = None
        form.changes.run_requested.connect(self._run_changes)
        ApplyNow(session, form, self)
        message.accepted.connect(self._offer_accepted)
        message.declined.connect(self._offer_declined)

    def prepare(self, experiment: Experiment) -> None:
        """Prepare a run; one that needs external code waits until Run or Reset is pressed."""
        model = experiment.model
        if isinstance(model, EXTERNAL) and not self.approves(experiment):
            self._session.hold(experiment)
        else:
            self._session.load(experiment)

    def approves(self, experiment: Experiment) -> bool:
        """Whether the user has asked to run the model's code."""
        return experiment.model == self._approved

    def start(self, experiment: Experiment, run: bool) -> None:
        """Prepare an experiment at the user's request and, with ``run``, train it."""
        self._approved = experiment.model
        self._form.compare_with(experiment)
        self._session.load(experiment, run)

    @Slot()
    def run(self) -> None:
        """Train; the experiment in the form, unless the present run has taken a step."""
        experiment, session = self._form.experiment, self._session
        fresh = session.state in (State.READY, State.WAITING) or session.state.over
        changed = experiment != session.experiment or session.state is not State.READY
        self._message.hide()
        if experiment is not None and fresh and changed:
            self.start(experiment, run=True)
        else:
            session.run()

    @Slot()
    def _run_changes(self) -> None:
        """Train the experiment in the form from its start, also if another is training."""
        self._ask_before("Run", "the changed experiment", partial(self._reset, run=True))

    @Slot()
    def reset(self) -> None:
        """Discard the run and prepare the experiment in the form."""
        if self._form.experiment is not None:
            self._ask_before("Reset", "to the start", self._reset)

    @Slot(object)
    def open(self, experiment: Experiment) -> None:
        """Show an experiment in the form and prepare it."""
        self._ask_before("Open", experiment.name, partial(self._open, experiment))

    @Slot(object)
    def open_run(self, run: OpenedRun) -> None:
        """Show a run on disk."""
        self._ask_before("Open", run.folder.name, partial(self._session.open, run))

    def offer_newest(self) -> None:
        """Offer to resume the newest unfinished run, unless that was declined before."""
        run = newest_unfinished(self._session.runs, self.said.emit)
        if run is not None and str(run.path) != self._settings.declined_run:
            self._offered = run.path
            self._message.offer(run.described, "Resume")

    @Slot()
    def choose_run(self) -> None:
        """Let the user choose the folder of a run to resume."""
        runs = self._session.runs
        folder = QFileDialog.getExistingDirectory(
            self._window, "Resume a run", str(runs) if runs.is_dir() else ""
        )
        if folder:
            self.resume(Path(folder))

    def resume(self, folder: Path, asked: bool = False) -> None:
        """Resume a run from its last checkpoint; show why if that is impossible.

        ``asked``: the user has already agreed to end the present run.
        """
        try:
            run = open_unfinished(folder)
        except RunError as error:
            self._message.show_message(str(error))
            return
        if not may_import(run.path, run.experiment.model):
            self._ask_to_import(run)
        elif asked:
            self._resume(run)
        else:
            self._ask_to_resume(run)

    def _ask_to_import(self, run: UnfinishedRun) -> None:
        """Ask before running the code of a run that the user did not start here."""
        assert isinstance(run.experiment.model, EXTERNAL)
        box = QMessageBox(self._window, textFormat=Qt.TextFormat.PlainText)
        box.setIcon(QMessageBox.Icon.Warning)
        box.setWindowTitle("Run the code of this run?")
        box.setText(
            f"The model of {run.path.name} is code, {run.experiment.model.label}, and you did not "
            "start this run on this computer. Resuming it runs that code."
        )
        box.setInformativeText("Resume it only if you trust whoever made the run and the code.")
        box.addButton("Run the code and resume", QMessageBox.ButtonRole.AcceptRole)
        box.setDefaultButton(box.addButton(QMessageBox.StandardButton.Cancel))
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        box.accepted.connect(partial(self._ask_to_resume, run))
        box.open()

    def _ask_to_resume(self, run: UnfinishedRun) -> None:
        self._ask_before("Resume", run.path.name, partial(self._resume, run))

    def _ask_before(self, verb: str, what: str, then: Callable[[], object]) -> None:
        ask_before(verb, what, then, self._session, self._window)

    def _reset(self, run: bool = False) -> None:
        if self._form.experiment is not None:
            self._message.hide()
            self.start(self._form.experiment, run)

    def _open(self, experiment: Experiment) -> None:
        self._message.hide()
        self._approved = None
        self._form.show_experiment(experiment)
        self.prepare(experiment)

    def _resume(self, run: UnfinishedRun) -> None:
        self._message.hide()
        self._form.show_experiment(run.experiment)
        self._approved = run.experiment.model
        self._session.load(run.experiment, run=True, resume=run.path)

    @Slot(object)
    def form_settled(self, experiment: Experiment | None) -> None:
        """Prepare the experiment in the form after an edit, unless a run would be lost by that."""
        state = self._session.state
        idle = state in (State.READY, State.LOADING, State.WAITING)
        changed = experiment != self._session.experiment
        if experiment is not None and (idle or self._session.unprepared) and changed:
            self._message.hide()
            self.prepare(experiment)
        elif self._form.refused and self._session.unprepared:
            self.show_unprepared(self._form.refused)

    def show_unprepared(self, sentence: str, details: str = "") -> None:
        """Show why the run could not be prepared, and offer what would help."""
        experiment = self._form.form.experiment
        offered = self.remedies.offered(experiment) if experiment is not None else {}
        self._message.show_message(sentence, details, offered)

    @Slot()
    def _retry(self) -> None:
        if self._session.unprepared:
            self._form.show_unprepared()  # its data can be read now
            self._reset()

    @Slot()
    def _offer_accepted(self) -> None:
        if self._offered is not None:
            self.resume(self._offered)

    @Slot()
    def _offer_declined(self) -> None:
        self._settings.declined_run = str(self._offered or "")
