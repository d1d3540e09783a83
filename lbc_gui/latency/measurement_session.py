"""Runs measurements, one at a time."""

from __future__ import annotations

from lbc_gui.latency.measurement_thread import MeasurementThread, Prepare
from lbc_gui.run.worker import Job


class MeasurementSession(Job):
    """``cancel`` ends a measurement within seconds."""

    def start(self, prepare: Prepare) -> None:
        """Measure what ``prepare`` returns; called in the thread, as it may load a network."""
        if not self.running:
            self._launch(MeasurementThread(prepare, self))
