"""Prunes a trained model at once, in a thread of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import QObject, Signal, Slot

from lbc.config import Experiment
from lbc_gui.worker import Failed, Job, Worker, describe


@dataclass(frozen=True)
class PruneRequest:
    """What to prune: ``experiment``, made of ``base`` by ``one_shot_experiment``.

    The result goes into ``folder``. ``allow_import``: the user has asked to run the model's code.
    """

    checkpoint: Path
    base: Experiment
    experiment: Experiment
    folder: Path
    allow_import: bool


@dataclass(frozen=True)
class PruneProgress:
    """What is being done, and the completed fraction of that."""

    what: str
    share: float


@dataclass(frozen=True)
class Pruned:
    """The file of the pruned model, its pruned layers, and a sentence about it."""

    request: PruneRequest
    file: Path
    layers: tuple[str, ...]
    sentence: str


class PruneThread(Worker):
    """Posts progress, and at the end the file, unless it is cancelled."""

    def __init__(self, request: PruneRequest, parent: QObject) -> None:
        super().__init__(parent)
        self._request = request

    def work(self) -> None:
        from lbc.training.one_shot import Cancelled, new_file, prune  # with torch

        request = self._request
        experiment, method = request.experiment, request.experiment.method.name

        def report(what: str, share: float) -> None:
            if self.cancelled.is_set():
                raise Cancelled
            self.post(PruneProgress(what, share))

        request.folder.mkdir(parents=True, exist_ok=True)
        file = new_file(request.folder, request.checkpoint, method, experiment.pattern)
        try:
            done = prune(experiment, file, progress=report, allow_import=request.allow_import)
        except Cancelled:
            self.post("Pruning was cancelled; nothing has been written.")
            return
        sentence = (
            f"Pruned {request.checkpoint} by {method} to {experiment.pattern} in "
            f"{done.seconds:.1f} s: {done.before:.2%} accuracy before, {done.after:.2%} after. "
            f"Wrote {file}."
        )
        self.post(Pruned(request, file, tuple(one.name for one in done.layers), sentence))

    def failure(self, error: Exception) -> Failed:
        from lbc.training.failures import TrainingError

        return describe(f"{self._request.checkpoint} could not be pruned", error, TrainingError)


class PruneJob(Job):
    """Prunes one model at a time."""

    progressed = Signal(object)
    """PruneProgress."""
    pruned = Signal(object)
    """Pruned."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.arrived.connect(self._add)

    def prune(self, request: PruneRequest) -> None:
        """Begin; ``pruned`` or ``failed`` follows, unless it is cancelled."""
        self._launch(PruneThread(request, self))

    @Slot(object)
    def _add(self, events: Sequence[object]) -> None:
        for event in events:
            if isinstance(event, Pruned):
                self.pruned.emit(event)
            elif isinstance(event, PruneProgress):
                self.progressed.emit(event)
