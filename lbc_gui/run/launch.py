"""Prepares the experiment in the form at once, and trains it when Run is pressed."""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal, Slot

from lbc.config import EXTERNAL, Experiment
from lbc.runs.unfinished_run import UnfinishedRun
from lbc_gui.experiment.experiment_panel import ExperimentPanel
from lbc_gui.run.session import Session, State


class Launch(QObject):
    """Runs a model's external code only after Run or Reset was pressed for that model."""

    replacing = Signal()
    """A run replaces the one before; messages about that one no longer apply."""

    def __init__(self, session: Session, form: ExperimentPanel, parent: QObject) -> None:
        super().__init__(parent)
        self._session, self._form = session, form
        self._approved: object = None

    def prepare(self, experiment: Experiment) -> None:
        """Prepare a run; one that needs external code waits until Run or Reset is pressed."""
        model = experiment.model
        if isinstance(model, EXTERNAL) and model != self._approved:
            self._session.hold(experiment)
        else:
            self._session.load(experiment)

    def start(self, experiment: Experiment, run: bool) -> None:
        """Prepare an experiment at the user's request and, with ``run``, train it."""
        self._approved = experiment.model
        self._session.load(experiment, run)

    @Slot()
    def run(self) -> None:
        """Train; the experiment in the form, unless the present run has taken a step."""
        experiment, session = self._form.experiment, self._session
        fresh = session.state in (State.READY, State.WAITING) or session.state.over
        changed = experiment != session.experiment or session.state is not State.READY
        self.replacing.emit()
        if experiment is not None and fresh and changed:
            self.start(experiment, run=True)
        else:
            session.run()

    @Slot()
    def reset(self) -> None:
        """Discard the run and prepare the experiment in the form."""
        if self._form.experiment is not None:
            self.replacing.emit()
            self.start(self._form.experiment, run=False)

    @Slot(object)
    def open(self, experiment: Experiment) -> None:
        """Show an experiment in the form and prepare it."""
        self.replacing.emit()
        self._form.show_experiment(experiment)
        self.prepare(experiment)

    @Slot(object)
    def resume(self, run: UnfinishedRun) -> None:
        self.replacing.emit()
        self._form.show_experiment(run.experiment)
        self._approved = run.experiment.model
        self._session.load(run.experiment, run=True, resume=run.path)

    @Slot(object)
    def form_settled(self, experiment: Experiment | None) -> None:
        """Prepare the experiment in the form after an edit, unless a run would be lost by that."""
        state = self._session.state
        idle = state in (State.READY, State.LOADING, State.WAITING)
        failed_at_once = state is State.FAILED and self._session.prepared is None
        changed = experiment != self._session.experiment
        if experiment is not None and (idle or failed_at_once) and changed:
            self.replacing.emit()
            self.prepare(experiment)
