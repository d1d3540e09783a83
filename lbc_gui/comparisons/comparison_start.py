"""Starts a comparison in a thread: its networks are checked, and the runs queued."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import QObject

from lbc.comparison.trials import Trial
from lbc.config.strict_yaml import ExperimentError
from lbc_gui.worker import Failed, Job, Worker, describe


@dataclass(frozen=True)
class ComparisonRequest:
    """What to train, ``jobs`` runs at a time, in the queue of the folder ``out``."""

    out: Path
    trials: tuple[Trial, ...]
    jobs: int


class _StartThread(Worker):
    def __init__(self, request: ComparisonRequest, parent: QObject) -> None:
        super().__init__(parent)
        self._request = request

    def work(self) -> None:
        # With torch, which may not be loaded yet.
        from lbc.queue.commands import start
        from lbc.queue.trials import check_trials, queue_trials

        request = self._request
        check_trials(request.trials)
        queue_trials(request.out, request.trials, request.jobs)
        start(request.out)
        self.post(request)

    def failure(self, error: Exception) -> Failed:
        from lbc.data import DataError

        sentences = (ValueError, ExperimentError, DataError)
        return describe("The comparison could not be started", error, *sentences)


class ComparisonStart(Job):
    """``arrived`` has the request once its runs are being trained."""

    def start(self, request: ComparisonRequest) -> None:
        """Check and queue the runs; ``arrived`` or ``failed`` follows."""
        self._launch(_StartThread(request, self))
