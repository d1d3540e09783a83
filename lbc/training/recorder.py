"""Keeps a run on disk while it trains, and says what happens when the disk refuses."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from lbc.config import Experiment
from lbc.runs.events import EpochDone, Intervened, LayerInfo, Resumed, StepDone
from lbc.runs.folder import Position, RunFolder, RunState
from lbc.runs.metrics import read_epochs, read_steps
from lbc.sparsity.sparsifier import Sparsifier
from lbc.training.failures import TrainingError

T = TypeVar("T")


class Recorder:
    """Writes the events of one run into its folder; without a folder, nowhere.

    ``ask_room`` is told of a write that failed, in one sentence, and answers once it makes sense
    to try again: True to try, False to give up. Without it a failed write ends the run. Methods
    raise TrainingError; what was written before is intact.
    """

    def __init__(self, path: Path | None, ask_room: Callable[[str], bool] | None) -> None:
        self.path = path
        self._ask_room = ask_room
        self._folder: RunFolder | None = None

    @property
    def written(self) -> Path | None:
        """The run folder, once there is one."""
        return self._folder.path if self._folder else None

    def open(self, experiment: Experiment, layers: Sequence[LayerInfo]) -> None:
        path = self.path
        if path is not None:
            self._folder = self._insist(lambda: RunFolder(path, experiment, layers))

    def go_on(
        self, experiment: Experiment, layers: Sequence[LayerInfo], position: Position
    ) -> Resumed:
        """Open the folder of a run that was left at ``position``; what came later is forgotten."""
        path = self.path
        assert path is not None
        try:
            self._folder = self._insist(lambda: RunFolder(path, experiment, layers, position))
        except ValueError as error:
            raise TrainingError(f"The run cannot go on: {error}") from error
        return Resumed(path, read_steps(path), read_epochs(path))

    def add_step(self, done: StepDone) -> None:
        if folder := self._folder:
            self._insist(lambda: folder.add_step(done))

    def add_moment(self, epoch: float, sparsifier: Sparsifier) -> None:
        if folder := self._folder:
            sparsifier.sync_live_sets()
            self._insist(lambda: folder.add_moment(epoch, sparsifier))

    def add_epoch(self, done: EpochDone) -> None:
        if folder := self._folder:
            self._insist(lambda: folder.add_epoch(done))

    @property
    def moments(self) -> int:
        """How many moments are kept by now."""
        return self._folder.position.moments if self._folder else 0

    def add_intervention(self, done: Intervened) -> None:
        if folder := self._folder:
            self._insist(lambda: folder.add_intervention(done))

    def write_checkpoint(self, checkpoint: Callable[[], dict[str, Any]]) -> None:
        if folder := self._folder:
            self._insist(lambda: folder.write_checkpoint(checkpoint()))

    def write_model(self, sparsifier: Sparsifier) -> None:
        """Keep the finished weights; the sparsifier itself stays as it is, to be looked at."""
        if folder := self._folder:
            manifest = {
                "layers": {name: str(at.pattern) for name, at in sparsifier.layers.items()},
                "skipped": dict(sparsifier.skipped),
            }
            weights = copy.deepcopy(sparsifier).finalize().state_dict()
            self._insist(lambda: folder.write_model(weights, manifest))

    def write_state(self, state: RunState) -> None:
        if folder := self._folder:
            self._insist(lambda: folder.write_state(state))

    def close(self, failure: RunState | None = None) -> None:
        if self._folder is None:
            return
        if failure is not None:
            # The disk may be what failed; the sentence reaches the user all the same.
            with suppress(OSError):
                self._folder.write_state(failure)
        self._folder.close()

    def _insist(self, write: Callable[[], T]) -> T:
        while True:
            try:
                return write()
            except OSError as error:
                where = error.filename or self.path
                message = f"The run could not be written to {where}: {error.strerror or error}."
                if self._ask_room is None:
                    raise TrainingError(f"{message} What was written before is kept.") from error
                if not self._ask_room(f"{message} Make room, then press Run to go on."):
                    raise TrainingError(f"{message} The run was stopped.") from error
