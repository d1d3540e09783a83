"""Runs measurements, one at a time, in a thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtCore import QObject

from lbc.config.strict_yaml import ExperimentError
from lbc.latency.run import Request, measure
from lbc_gui.worker import Failed, Job, Worker, describe


@dataclass(frozen=True)
class Prepared:
    """The request with the model's layers, and the layers left out, each with a reason."""

    request: Request
    left_out: tuple[tuple[str, str], ...]


Prepare = Callable[[], Prepared]


class MeasurementThread(Worker):
    """Prepares and runs one request; posts ``Prepared``, then the events of ``measure``."""

    def __init__(self, prepare: Prepare, parent: QObject) -> None:
        super().__init__(parent)
        self._prepare = prepare

    def work(self) -> None:
        prepared = self._prepare()
        self.post(prepared)
        measure(prepared.request, self.post, self.cancelled)

    def failure(self, error: Exception) -> Failed:
        return describe("The measurement failed", error, ValueError, ExperimentError)


class MeasurementSession(Job):
    """``cancel`` ends a measurement within seconds."""

    def start(self, prepare: Prepare) -> None:
        """Measure what ``prepare`` returns; called in the thread, as it may load a network."""
        if not self.running:
            self._launch(MeasurementThread(prepare, self))
