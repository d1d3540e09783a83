"""Writes a run to disk while it trains, and handles failed writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from lbc.config import Experiment
from lbc.files.os_errors import explain
from lbc.runs.events import (
    EpochDone,
    Intervened,
    Intervention,
    LayerInfo,
    MethodNumbers,
    Prepared,
    Resumed,
    Steering,
    StepDone,
)
from lbc.runs.folder import DIGESTS, Position, RunFolder
from lbc.runs.method_numbers import read_numbers
from lbc.runs.metrics import read_epochs, read_steps
from lbc.runs.model_file import finalized
from lbc.runs.own_runs import remember_own
from lbc.runs.run_state import RunState
from lbc.runs.used_weights import remember_weights
from lbc.sparsity.sparsifier import Sparsifier
from lbc.training.failures import TrainingError

T = TypeVar("T")


class Recorder:
    """Write the events of one run to its folder; if ``path`` is None, do nothing.

    ``on_disk_full`` is called with a message when a write fails, and blocks until the write should
    be retried (True) or abandoned (False). Without it a failed write ends the run. All methods
    raise TrainingError if a write fails for good; earlier data stays intact.
    """

    def __init__(self, path: Path | None, on_disk_full: Callable[[str], bool] | None) -> None:
        self.path = path
        self._on_disk_full = on_disk_full
        self._run: RunFolder | None = None

    @property
    def folder(self) -> Path | None:
        """Path of the run folder, or None before it has been created."""
        return self._run.path if self._run else None

    @property
    def moments(self) -> int:
        """The number of moments recorded so far."""
        return self._run.position.moments if self._run else 0

    def open(self, experiment: Experiment, prepared: Prepared) -> None:
        """Create the run folder."""
        path = self.path
        digests = {name: getattr(prepared, name) for name in DIGESTS}
        if path is not None:
            self._run = self._retry_until_written(
                lambda: RunFolder(path, experiment, prepared.layers, digests=digests)
            )
            remember_own(path, experiment.model)
            if (weights := experiment.initial_weights) and prepared.weights_sha256:
                remember_weights(weights, prepared.weights_sha256)

    def reopen(
        self, experiment: Experiment, layers: Sequence[LayerInfo], position: Position
    ) -> Resumed:
        """Reopen the folder of an interrupted run; records after ``position`` are dropped."""
        path = self.path
        assert path is not None
        try:
            self._run = self._retry_until_written(
                lambda: RunFolder(path, experiment, layers, position)
            )
            remember_own(path, experiment.model)
            numbers = read_numbers(path)
            return Resumed(path, read_steps(path), read_epochs(path), numbers=numbers)
        except ValueError as error:
            raise TrainingError(f"The run cannot be resumed: {error}") from error

    def add_step(self, done: StepDone) -> None:
        self._write(lambda run: run.add_step(done))

    def add_moment(self, epoch: float, sparsifier: Sparsifier) -> None:
        if self._run is not None:
            sparsifier.sync_live_sets()
            self._write(lambda run: run.add_moment(epoch, sparsifier))

    def add_last_moment(self, epoch: float, sparsifier: Sparsifier) -> None:
        """Record the state of the checkpoint of a run that is stopped: its weights are known.

        As the checkpoint was written before, a run that is resumed drops this moment, and its
        files become those of a run that was not stopped. On a full disk there is no such moment.
        """
        if self._run is not None and self._run.last_moment not in (None, epoch):
            sparsifier.sync_live_sets()
            with suppress(OSError):
                self._run.add_moment(epoch, sparsifier)

    def add_epoch(self, done: EpochDone) -> None:
        self._write(lambda run: run.add_epoch(done))

    def add_numbers(self, done: MethodNumbers) -> None:
        self._write(lambda run: run.add_numbers(done))

    def due_intervention(self, step: int) -> Intervention | Steering | None:
        """The next intervention that a resumed run is to repeat after ``step`` steps, or None."""
        return self._run.due_intervention(step) if self._run else None

    def use(self, experiment: Experiment) -> None:
        """Continue with the settings of ``experiment``."""
        if self._run is not None:
            self._run.use(experiment)

    def add_intervention(self, done: Intervened) -> None:
        self._write(lambda run: run.add_intervention(done))

    def write_checkpoint(self, checkpoint: Callable[[], dict[str, Any]], keep: bool) -> bool:
        """Write a checkpoint, and with ``keep`` keep it for forks; False if it is too large."""
        if (run := self._run) is None:
            return True
        return self._retry_until_written(lambda: run.write_checkpoint(checkpoint(), keep))

    def write_teacher(self, data: bytes) -> None:
        self._write(lambda run: run.write_teacher(data))

    def write_model(self, sparsifier: Sparsifier) -> None:
        """Write the finalized weights; the sparsifier itself stays unchanged."""
        if self._run is not None:
            weights, manifest = finalized(sparsifier)
            self._write(lambda run: run.write_model(weights, manifest))

    def write_state(self, state: RunState) -> None:
        self._write(lambda run: run.write_state(state))

    def close(self, failure: RunState | None = None) -> None:
        if self._run is None:
            return
        if failure is not None:
            # The disk itself may have failed; the user sees the message anyway.
            with suppress(OSError):
                self._run.write_state(failure)
        self._run.close()

    def _write(self, write: Callable[[RunFolder], object]) -> None:
        if (run := self._run) is not None:
            self._retry_until_written(lambda: write(run))

    def _retry_until_written(self, write: Callable[[], T]) -> T:
        while True:
            try:
                return write()
            except OSError as error:
                where = error.filename or self.path
                failed = explain(error, f"The run could not be written to {where}")
                if self._on_disk_full is None:
                    raise TrainingError(f"{failed} Earlier data is kept.") from error
                if not self._on_disk_full(f"{failed[:-1]}, then press Run to continue."):
                    raise TrainingError(f"{failed} The run was stopped.") from error
