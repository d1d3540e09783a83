"""The folder of one run.

experiment.yaml      the experiment, every default written out
run.json             status, versions, seed, final accuracy, density, seconds, steps, memory
steps.records        loss and learning rate of every step
epochs.records       losses, accuracy, live combinations and density of every epoch
method.records       quantities of the method at the end of every epoch, if it has any
scores.history       winners and live sets after every removal, 60 moments or more; some scores
interventions.jsonl  combinations that the user pinned and banned, settings changed since, if any
library.json         title, tags, star and note of the user, if any
checkpoint.pt        everything needed to resume
checkpoint.previous.pt  the one before, for when that is damaged; of the same size
teacher.pt           the teacher of a distillation, if there is one
checkpoints/         those that training.keep asks for, from which a fork can begin
model.safetensors    the final weights, dense with zeros
trainer.json, commands.jsonl, watch-*, frame-*  between the process that trains the run and others
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from lbc.config import Experiment, dump_experiment
from lbc.files.atomic import write_atomically
from lbc.files.lock import LOCK_TIMEOUT_SECONDS
from lbc.files.versions import installed_versions
from lbc.runs.events import (
    EpochDone,
    Intervened,
    Intervention,
    LayerInfo,
    MethodNumbers,
    Steering,
    StepDone,
)
from lbc.runs.history_writer import HistoryWriter
from lbc.runs.interventions import FILE as INTERVENTIONS
from lbc.runs.interventions import InterventionLog
from lbc.runs.kept_checkpoints import (
    CHECKPOINT,
    PREVIOUS_CHECKPOINT,
    drop_after,
    is_kept,
    keep_checkpoint,
)
from lbc.runs.method_numbers import NumbersLog
from lbc.runs.metrics import EPOCH_COLUMNS, STEP_COLUMNS
from lbc.runs.model_file import write_model
from lbc.runs.new_folder import is_annotation, is_unused
from lbc.runs.peak_memory import PeakMemory
from lbc.runs.records import RecordWriter
from lbc.runs.run_state import FILE as STATE
from lbc.runs.run_state import Parent, RunState, read_state
from lbc.sparsity.sparsifier import Sparsifier

TEACHER = "teacher.pt"
DIGESTS = ("weights_sha256", "teacher_sha256")
PACKAGES = ("torch", "numpy", "safetensors")


@dataclass(frozen=True)
class Position:
    """How much of a run was written when a checkpoint was made: rows, moments, lines.

    ``decided`` is whether the search had ended at the last moment.
    """

    steps: int = 0
    epochs: int = 0
    moments: int = 0
    decided: bool = False
    interventions: int = 0


class RunFolder:
    """Writes one run. Methods raise OSError on failure; what was written before stays intact."""

    def __init__(
        self,
        path: Path,
        experiment: Experiment,
        layers: Sequence[LayerInfo],
        position: Position | None = None,
        digests: Mapping[str, str] | None = None,
    ) -> None:
        """Start a run in an empty folder or, with a ``position``, resume an existing one there.

        ``digests`` are ``weights_sha256`` and ``teacher_sha256`` of a run that starts.

        Raises FileExistsError if the folder of a new run is not empty, BlockingIOError if another
        process writes the run, and ValueError if a file holds less than ``position`` says.
        """
        self.path = path
        self._experiment = experiment
        self._started = datetime.now(UTC).isoformat(timespec="seconds")
        self._parent: Parent | None = None
        self._digests = dict(digests or {})
        self._steps_done = position.steps if position else 0
        self._memory, self._memory_before = PeakMemory(), 0
        with ExitStack() as undo:
            if position is None:
                self._create(undo)
            else:
                before = read_state(path)
                self._started, self._parent = before.started or self._started, before.parent
                self._digests = {name: getattr(before, name) for name in DIGESTS}
                self._memory_before = before.peak_memory
            # A new run waits too: a program that asks whether it is being trained holds the lock.
            self._steps = RecordWriter(path / "steps.records", STEP_COLUMNS, LOCK_TIMEOUT_SECONDS)
            undo.callback(self._steps.close)
            self._epochs = RecordWriter(path / "epochs.records", EPOCH_COLUMNS)
            undo.callback(self._epochs.close)
            self._numbers = NumbersLog(path)
            undo.callback(self._numbers.close)
            epochs = experiment.training.epochs
            self._history = HistoryWriter(path / "scores.history", layers, epochs)
            undo.callback(self._history.close)
            self._interventions = InterventionLog(path / INTERVENTIONS)
            if position is not None:
                self._truncate(position)
            undo.pop_all()

    @property
    def position(self) -> Position:
        """How much has been written so far."""
        return Position(
            self._steps.rows,
            self._epochs.rows,
            *self._history.place,
            self._interventions.count,
        )

    @property
    def last_moment(self) -> float | None:
        """The epoch of the last moment recorded, None before the first."""
        return self._history.last

    def _create(self, undo: ExitStack) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        if not is_unused(self.path):
            raise FileExistsError(17, "the run folder is not empty: choose another", str(self.path))
        # With a half-made folder the user could not retry after making room on the disk.
        undo.callback(self._empty)
        self._empty()
        # If killed in between, the folder is still unused; from then on, the run can be resumed.
        self.write_state(RunState("running"))
        text = dump_experiment(self._experiment).encode()
        write_atomically(self.path / "experiment.yaml", lambda file: file.write(text))

    def _truncate(self, position: Position) -> None:
        self._steps.truncate(position.steps)
        self._epochs.truncate(position.epochs)
        self._numbers.truncate(position.epochs)
        self._history.truncate(position.moments, position.decided)
        self._interventions.resume(position.interventions, position.steps)
        for leftover in self.path.glob(".*.tmp"):  # of a write that was killed
            leftover.unlink()
        drop_after(self.path, position.steps)

    def _empty(self) -> None:
        for file in self.path.iterdir():
            if not is_annotation(file):
                file.unlink()

    def write_state(self, state: RunState) -> None:
        """Replace ``run.json``."""
        document = {
            **asdict(state),
            "name": self._experiment.name,
            "pattern": str(self._experiment.pattern),
            "seed": self._experiment.seed,
            "device": self._experiment.device,
            "threads": torch.get_num_threads(),
            "started": self._started,
            "updated": datetime.now(UTC).isoformat(timespec="seconds"),
            "parent": asdict(self._parent) if self._parent else None,
            **{name: self._digests.get(name, "") for name in DIGESTS},
            "steps": self._steps_done,
            "peak_memory": max(self._memory_before, self._memory.bytes),
            "versions": installed_versions(*PACKAGES),
        }
        text = json.dumps(document, indent=2) + "\n"
        write_atomically(self.path / STATE, lambda file: file.write(text.encode()))

    def add_step(self, done: StepDone) -> None:
        self._steps.append([done.step, done.epoch, done.loss, done.lr, done.seconds])
        self._steps_done = done.step

    def add_epoch(self, done: EpochDone) -> None:
        self._epochs.append([
            done.epoch, done.train_loss, done.test_loss, done.accuracy,
            max(done.live), done.density, done.seconds,
        ])  # fmt: skip

    def add_numbers(self, done: MethodNumbers) -> None:
        self._numbers.append(done)

    def add_moment(self, epoch: float, sparsifier: Sparsifier) -> None:
        self._history.append(epoch, sparsifier)

    def due_intervention(self, step: int) -> Intervention | Steering | None:
        """The next intervention that a resumed run is to repeat, as ``InterventionLog.due``."""
        return self._interventions.due(step)

    def add_intervention(self, done: Intervened) -> None:
        self._interventions.append(done)

    def use(self, experiment: Experiment) -> None:
        """Continue with the settings of ``experiment``; the file keeps those at the start."""
        self._experiment = experiment
        self._history.epochs = experiment.training.epochs

    def write_checkpoint(self, state: Mapping[str, Any], keep: bool = False) -> bool:
        """Write ``checkpoint.pt``; what it was before becomes the previous one.

        Tensors and plain values only, so that it loads without pickle. With ``keep`` it is kept
        for forks too, as it is if an earlier one of the same step was. False if it is too large.
        """
        # A power failure must not lose rows that the checkpoint refers to.
        for written in (self._steps, self._epochs, self._history):
            written.sync()
        whole = {**state, "position": asdict(self.position)}
        path, previous = self.path / CHECKPOINT, self.path / PREVIOUS_CHECKPOINT
        write_atomically(path, lambda file: _save(whole, file), previous)
        step = self._steps.rows
        if not (keep or is_kept(self.path, step)):
            return True
        limit = self._experiment.training.keep.at_most
        return keep_checkpoint(self.path, step, step / state["steps_per_epoch"], limit)

    def write_teacher(self, data: bytes) -> None:
        """Replace ``teacher.pt``."""
        write_atomically(self.path / TEACHER, lambda file: file.write(data))

    def write_model(self, weights: Mapping[str, Tensor], layers: Mapping[str, Any]) -> None:
        """Replace ``model.safetensors``; ``layers`` goes into its metadata, for ``lbc inspect``."""
        write_model(self.path / "model.safetensors", weights, layers)

    def close(self) -> None:
        self._steps.close()
        self._epochs.close()
        self._numbers.close()
        self._history.close()


def _save(state: Mapping[str, Any], file: IO[bytes]) -> None:
    try:
        torch.save(state, file)
    except RuntimeError as error:
        # torch.save masks the OSError with a RuntimeError; re-raise the original.
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise
