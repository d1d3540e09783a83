"""From what the form says to a run: prepared at once, trained when Run is pressed."""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal, Slot

from lbc.config import EXTERNAL, Experiment
from lbc.runs.unfinished_run import UnfinishedRun
from lbc_gui.experiment.experiment_panel import ExperimentPanel
from lbc_gui.run.session import Session, State


class Starting(QObject):
    """Code from elsewhere runs only where it was asked for by Run or Reset, and with just that."""

    begins = Signal()
    """A run takes the place of the one before; what was said about that one is void."""

    def __init__(self, session: Session, form: ExperimentPanel, parent: QObject) -> None:
        super().__init__(parent)
        self._session, self._form = session, form
        self._asked: object = None

    def prepare(self, experiment: Experiment) -> None:
        """Make a run ready; one that needs foreign code waits until it is asked for."""
        model = experiment.model
        if isinstance(model, EXTERNAL) and model != self._asked:
            self._session.hold(experiment)
        else:
            self._session.load(experiment)

    def begin(self, experiment: Experiment, run: bool) -> None:
        """Prepare what was asked for and, with ``run``, train it."""
        self._asked = experiment.model
        self._session.load(experiment, run)

    @Slot()
    def run(self) -> None:
        """Train; what the form says counts where no step has been taken yet."""
        experiment, session = self._form.experiment, self._session
        fresh = session.state in (State.READY, State.WAITING) or session.state.over
        changed = experiment != session.experiment or session.state is not State.READY
        self.begins.emit()
        if experiment is not None and fresh and changed:
            self.begin(experiment, run=True)
        else:
            session.run()

    @Slot()
    def reset(self) -> None:
        """Discard the run and stand at the start of what the form says."""
        if self._form.experiment is not None:
            self.begins.emit()
            self.begin(self._form.experiment, run=False)

    @Slot(object)
    def open(self, experiment: Experiment) -> None:
        """An experiment was opened."""
        self.begins.emit()
        self._form.show_experiment(experiment)
        self.prepare(experiment)

    @Slot(object)
    def resume(self, run: UnfinishedRun) -> None:
        """Go on with a run where it was left."""
        self.begins.emit()
        self._form.show_experiment(run.experiment)
        self._asked = run.experiment.model
        self._session.load(run.experiment, run=True, resume=run.path)

    @Slot(object)
    def settle(self, experiment: Experiment | None) -> None:
        """The form has come to rest: prepare what it says, unless a run would be lost by that."""
        state = self._session.state
        idle = state in (State.READY, State.LOADING, State.WAITING)
        failed_at_once = state is State.FAILED and self._session.prepared is None
        changed = experiment != self._session.experiment
        if experiment is not None and (idle or failed_at_once) and changed:
            self.begins.emit()
            self.prepare(experiment)
