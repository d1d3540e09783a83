"""The training loop: takes an Experiment, emits events, handles commands between steps."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

import torch

from lbc.config import Experiment, dump_experiment
from lbc.data import Batch, load
from lbc.runs.events import (
    CheckpointNotKept,
    EpochDone,
    Event,
    Finished,
    Intervened,
    Intervention,
    InterventionRefused,
    MethodNumbers,
    Prepared,
    Resumed,
    Started,
    Steering,
    StepDone,
    StorageProblem,
)
from lbc.runs.folder import Position
from lbc.runs.history_writer import is_moment
from lbc.runs.run_state import RunState, Status
from lbc.sparsity.sparsifier import Sparsifier
from lbc.training import checkpoint as checkpoints
from lbc.training.allocator import keep_freed_memory
from lbc.training.control import Control
from lbc.training.evaluation import evaluate
from lbc.training.failures import TrainingError, check_finite, describe_error
from lbc.training.fork_points import KeptSteps
from lbc.training.interventions import intervene
from lbc.training.method_run import conduct
from lbc.training.optimizer import build_optimizer, learning_rate
from lbc.training.placement import place_model, resolve_device
from lbc.training.preparation import open_loader, prepare
from lbc.training.ranks import SINGLE_PROCESS, Ranks
from lbc.training.recorder import Recorder
from lbc.training.removal import remove_combinations
from lbc.training.step import StepInfo, Stepper
from lbc.training.teacher import Teacher
from lbc.training.teacher_copy import find_copy, with_teacher
from lbc.training.weight_average import WeightAverage


class Trainer:
    """Train one experiment, from its seed or from a checkpoint, to the finished model.

    Args:
        folder: the run folder; None writes nothing. In distributed training only rank 0 has one.
        emit: called with every event, in the training thread.
        watch: called with the sparsifier and the epoch (a fraction within epochs) between steps
            and while paused, in the training thread.
        attended: a user can free disk space. If writing fails, the run pauses and retries when
            it is continued; otherwise it ends.
        resume: continue the run in ``folder`` exactly from its last checkpoint.
        ranks: this process in distributed training.
    """

    def __init__(
        self,
        experiment: Experiment,
        folder: Path | None,
        control: Control | None = None,
        emit: Callable[[Event], None] = lambda event: None,
        watch: Callable[[Sparsifier, float], None] = lambda sparsifier, epoch: None,
        attended: bool = False,
        resume: bool = False,
        ranks: Ranks = SINGLE_PROCESS,
    ) -> None:
        self.experiment = experiment
        self.control = control or Control()
        self._emit, self._watch = emit, watch
        self._folder = folder
        self._resume = resume
        self._ranks = ranks
        self._recorder = Recorder(folder, self._on_disk_full if attended else None)
        self._step, self._loss_sum, self._seen = 0, 0.0, 0
        self._seconds = self._saved_at = 0.0
        self._last: EpochDone | None = None
        self._prepared: Prepared
        self._ready = self._started = False

    def train(self) -> Finished:
        """Prepare, train and finish. Raises TrainingError; the last good checkpoint is kept."""
        failure: RunState | None = None
        keep_freed_memory()
        try:
            self._prepare()
            finished = self._finish("finished" if self._train_epochs() else "stopped")
        except Exception as error:
            failure = self._state("failed", describe_error(error, self._ranks.count))
            raise TrainingError(failure.message) from error
        finally:
            self._recorder.close(failure)
            if self._ready:
                self._loader.close()
        self._emit(finished)
        return finished

    def linger(self) -> None:
        """After training, keep calling ``watch`` until the run is discarded."""
        if self._ready:
            self.control.linger(self._call_watch)

    # -- preparation ----------------------------------------------------------------------------

    def _prepare(self) -> None:
        self._device = resolve_device(self._ranks.device(self.experiment.device))
        found = None
        if self._resume:
            self.experiment, found = checkpoints.find(self._folder, self.experiment, self._ranks)
        experiment, settings = self.experiment, self.experiment.training
        torch.manual_seed(experiment.seed)
        self._data = load(experiment.data, experiment.method.evaluation_share)
        sparse = found.checkpoint.sparse if found else None
        prepared = prepare(experiment, self._data, self._ranks.count, sparse)
        model, self._sparsifier, self._prepared = prepared
        self._kept_steps = KeptSteps(settings.keep, self._prepared.steps)
        self._loader = open_loader(experiment, self._data, self._ranks)
        self._model = place_model(model, self._device, settings)
        self._sparsifier.model = self._model
        self._optimizer = build_optimizer(self._model, experiment.optimizer)
        self._stepper = Stepper(
            self._sparsifier, self._optimizer, settings, experiment.seed, self._device, self._ranks
        )
        if copy := find_copy(experiment, self._data, self._folder, found is not None, self._ranks):
            self._stepper.teacher = Teacher(copy, settings, self._device)
            self._prepared = with_teacher(self._prepared, copy)
        self._conduct()
        decay = settings.ema_decay
        self._average = WeightAverage(self._sparsifier, decay) if decay else None
        if found is not None:
            self._restore(found.checkpoint, found.file)
        if settings.compile:
            self._model.compile()
        resumed = self._reopen(found) if self._resume and self._folder else None
        self._ready = True
        self._emit(self._prepared)
        if resumed is not None:
            self._emit(resumed)

    def _conduct(self) -> None:
        given = (self.experiment, self._prepared, self._data)
        conduct(self._sparsifier, self._stepper, *given, self._emit)

    def _restore(self, checkpoint: checkpoints.Checkpoint, file: Path) -> None:
        steps = self._prepared.steps_per_epoch
        checkpoints.check_layout(checkpoint, steps, self._ranks.count, file)
        checkpoints.load_trained(self._stepper, self._sparsifier, checkpoint, file)
        if self._average is not None:
            self._average.load(checkpoint.average, file)
        self._step = checkpoint.step
        self._loss_sum, self._seen = checkpoint.loss_sum, checkpoint.seen
        self._seconds = self._saved_at = checkpoint.seconds
        self._last = checkpoint.last
        if self._device.type == "cpu":
            # The number of threads determines the order of summation, hence the last bits.
            torch.set_num_threads(checkpoint.threads)

    def _reopen(self, found: checkpoints.Found | None) -> Resumed:
        position = found.checkpoint.position if found else Position()
        resumed = self._recorder.reopen(self.experiment, self._prepared.layers, position)
        self._started = position.moments > 0
        self._recorder.write_state(self._state("running"))
        return replace(resumed, warning=found.warning) if found else resumed

    # -- training -------------------------------------------------------------------------------

    def _train_epochs(self) -> bool:
        """Return True when all epochs are complete, False if the run was stopped."""
        while (epoch := self._last.epoch if self._last else 0) < self._prepared.epochs:
            if not self._train_epoch(epoch):
                return False
        return True

    def _train_epoch(self, epoch: int) -> bool:
        """Return True when the epoch is complete, False if the run was stopped."""
        first_batch = self._step - epoch * self._prepared.steps_per_epoch
        for batch in self._loader.batches(epoch, first_batch):
            if not self._wait_for_step():
                return False
            if not self._started:
                self._start()
            if not self._remove_before_step():
                return False
            self._loss_sum += self._train_step(batch) * batch.size
            self._seen += batch.size
            if is_moment(self._step, self._prepared):
                self._recorder.add_moment(self._epoch, self._sparsifier)
            self._save_if_due()
            self._call_watch()
        return self._end_epoch(epoch + 1, self._loss_sum / self._seen)

    def _wait_for_step(self) -> bool:
        """Block while paused; return True if all ranks take another step, False if none does."""
        while True:
            running = self.control.wait_for_step(self._on_idle, self._ranks.patience)
            if running:
                self._apply_interventions()
            votes = [float(running is False), float(running is None)]
            stopped, paused = self._ranks.sum(votes, self._device)
            if stopped or not paused:
                return not stopped

    def _on_idle(self) -> None:
        self._apply_interventions()
        self._call_watch()

    def _apply_interventions(self) -> None:
        asked = self.control.next_intervention
        while one := self._recorder.due_intervention(self._step) or asked():
            self._intervene(one)

    def _intervene(self, intervention: Intervention | Steering) -> None:
        if not self._started:
            self._start()
        try:
            if self._ranks.count > 1:
                raise ValueError("Changing a run needs a run in a single process.")
            now = (self.experiment, self._epoch, self._sparsifier, self._optimizer)
            intervention, self.experiment = intervene(intervention, *now)
        except ValueError as error:
            self._emit(InterventionRefused(str(error)))
            return
        self._prepared = replace(self._prepared, epochs=self.experiment.training.epochs)
        self._conduct()
        self._recorder.use(self.experiment)
        done = Intervened(intervention, self._step, self._epoch, self._recorder.moments)
        self._recorder.add_intervention(done)
        self._recorder.add_moment(self._epoch, self._sparsifier)
        self._save()
        self._recorder.write_state(self._state("running"))
        self._emit(done)

    def _start(self) -> None:
        self._started = True
        if self._recorder.folder is None:
            self._recorder.open(self.experiment, self._prepared)
        self._recorder.add_moment(self._epoch, self._sparsifier)
        if teacher := self._stepper.teacher:
            self._recorder.write_teacher(teacher.copy.as_bytes())
        if teacher or self._prepared.weights_sha256:
            self._save()  # so that a resume does not need the files of weights and teacher
        self._emit(Started(self._recorder.folder))

    def _train_step(self, batch: Batch) -> float:
        started = time.perf_counter()
        lr = learning_rate(self.experiment.optimizer, self._epoch, self._prepared.epochs)
        info = StepInfo(self._step + 1, self._epoch, lr)
        local_loss = self._stepper.step(batch.images, batch.labels, info, batch.size)
        (loss,) = self._ranks.sum([local_loss], self._device)
        self._step += 1
        if self._average is not None:
            self._average.update(self._step)
        self._seconds += time.perf_counter() - started
        done = StepDone(self._step, self._epoch, loss, lr, self._seconds)
        self._recorder.add_step(done)
        self._emit(done)
        return loss

    def _save_if_due(self) -> None:
        minutes = (self._seconds - self._saved_at) / 60
        ended = self._step % self._prepared.steps_per_epoch == 0
        # The checkpoint at the end of an epoch is saved after that epoch's removal and test.
        if minutes >= self.experiment.training.checkpoint_minutes and not ended:
            self._save()

    def _remove_before_step(self) -> bool:
        """Remove combinations if the schedule removes by step; return False if stopped.

        Because it precedes the step, a run stopped here repeats the same removal when resumed.
        """
        every, schedule = self.experiment.schedule.every, self.experiment.schedule.as_schedule()
        if every != "step" or not self._sparsifier.due(schedule, self._epoch):
            return True
        started = time.perf_counter()
        removed = self._remove(self._epoch)
        self._seconds += time.perf_counter() - started
        if removed:
            self._recorder.add_moment(self._epoch, self._sparsifier)
            if self._kept_steps.at_removal(self._step):
                self._save(keep=True)
        return removed

    def _remove(self, epoch: float) -> bool:
        schedule = self.experiment.schedule.as_schedule()
        if epoch >= self.experiment.method.decision(schedule, self._prepared.epochs):
            self._sparsifier.decide()
        return remove_combinations(
            self._sparsifier, schedule, epoch, self._optimizer, self._emit, self._continue_removal
        )

    def _continue_removal(self) -> bool:
        self._call_watch()
        # Ranks must remove alike, so in distributed training a stop waits for the next step.
        return not self.control.stopped or self._ranks.count > 1

    def _end_epoch(self, epoch: int, train_loss: float) -> bool:
        """Remove, evaluate and save; return False if stopped during the removal."""
        started = time.perf_counter()
        due = self._sparsifier.due(self.experiment.schedule.as_schedule(), epoch)
        self._ranks.broadcast_buffers(self._model)
        # Remove first, so that the masks evaluated are those of the schedule at this epoch.
        if not self._remove(epoch):
            return False
        self._ranks.check_equal(self._model, self._device)
        test_loss, accuracy = self._evaluate()
        self._seconds += time.perf_counter() - started
        done = EpochDone(
            epoch=epoch,
            train_loss=train_loss,
            test_loss=test_loss,
            accuracy=accuracy,
            live=tuple(layer.live_count for layer in self._sparsifier.layers.values()),
            density=self._sparsifier.density(),
            seconds=self._seconds,
        )
        self._last, self._loss_sum, self._seen = done, 0.0, 0
        self._recorder.add_moment(epoch, self._sparsifier)
        self._recorder.add_epoch(done)
        if numbers := self._sparsifier.conductor.numbers():
            self._recorder.add_numbers(MethodNumbers(epoch, numbers))
        self._save(self._kept_steps.at_epoch(epoch, due))
        self._recorder.write_state(self._state("running"))
        self._emit(done)
        if numbers:
            self._emit(MethodNumbers(epoch, numbers))
        return True

    def _evaluate(self) -> tuple[float, float]:
        with self._average.applied() if self._average else nullcontext():
            return evaluate(self._stepper, self._loader, self._call_watch)

    def _finish(self, status: Literal["finished", "stopped"]) -> Finished:
        self._call_watch()
        if status == "finished":
            with self._average.applied() if self._average else nullcontext():
                self._recorder.write_model(self._sparsifier)
        else:
            self._save()
            self._recorder.add_last_moment(self._epoch, self._sparsifier)
        state = self._state(status)
        self._recorder.write_state(state)
        return Finished(status, state.accuracy, state.density, self._seconds, self._recorder.folder)

    # -- state ----------------------------------------------------------------------------------

    @property
    def _epoch(self) -> float:
        return self._step / self._prepared.steps_per_epoch

    def _call_watch(self) -> None:
        self._watch(self._sparsifier, self._epoch)

    def _on_disk_full(self, message: str) -> bool:
        self.control.pause()
        self._emit(StorageProblem(message))
        return bool(self.control.wait_for_step(self._call_watch))

    def _state(self, status: Status, message: str = "") -> RunState:
        return RunState.after(self._last, self._seconds, status, message)

    def _save(self, keep: bool = False) -> None:
        self._saved_at = self._seconds
        if self._recorder.folder is not None:
            check_finite(self._model)
            kept = self._recorder.write_checkpoint(self._checkpoint, keep)
            if not kept and self._kept_steps.warn_once():
                self._emit(CheckpointNotKept())

    def _checkpoint(self) -> dict[str, Any]:
        return {
            "version": checkpoints.VERSION,
            "experiment": dump_experiment(self.experiment),
            "in_shape": self._data.in_shape,
            "classes": self._data.classes,
            "steps_per_epoch": self._prepared.steps_per_epoch,
            "ranks": self._ranks.count,
            "threads": torch.get_num_threads(),
            "epoch": self._last.epoch if self._last else 0,
            "step": self._step,
            "loss_sum": self._loss_sum,
            "seen": self._seen,
            "seconds": self._seconds,
            "last": asdict(self._last) if self._last else None,
            "average": self._average.values if self._average else {},
            **checkpoints.trained(self._stepper, self._sparsifier),
        }
