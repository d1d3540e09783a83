"""Applies what was changed in the form to the run in training."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QObject, Qt, Slot

from lbc.runs.effective_experiment import changed_keys, values_of
from lbc.runs.events import Intervened, InterventionRefused
from lbc_gui.experiment.experiment_panel import ExperimentPanel
from lbc_gui.run.session import Session


class ApplyNow(QObject):
    """Offers it while a run is in training, and the form is valid and differs from that run."""

    def __init__(self, session: Session, panel: ExperimentPanel, parent: QObject) -> None:
        super().__init__(parent)
        self._session, self._panel = session, panel
        panel.changes.apply_requested.connect(self._apply)
        panel.edited.connect(self._offer)
        panel.settled.connect(self._offer)
        session.state_changed.connect(self._offer)
        session.events_arrived.connect(self._events_arrived)
        # Queued: when the form shows the run that was opened.
        session.opened.connect(self._offer, Qt.ConnectionType.QueuedConnection)

    @Slot()
    def _apply(self) -> None:
        run, wanted = self._session.experiment, self._panel.experiment
        if run is not None and wanted is not None:
            self._panel.changes.apply.setEnabled(False)  # until the run has answered
            self._session.steer(values_of(wanted, changed_keys(run, wanted)))

    @Slot(object)
    def _events_arrived(self, events: Sequence[object]) -> None:
        if any(isinstance(event, Intervened | InterventionRefused) for event in events):
            self._offer()

    @Slot()
    def _offer(self, _: object = None) -> None:
        self._panel.offer_to_apply(self._session.experiment if self._session.steerable else None)
