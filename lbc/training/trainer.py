"""The training loop: Experiment in, events out, commands obeyed between steps."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from lbc.config import Experiment, dump_experiment
from lbc.data import Batch, Loader, load
from lbc.runs.events import (
    EpochDone,
    Event,
    Finished,
    Intervened,
    Intervention,
    InterventionRefused,
    Prepared,
    RemovalProgress,
    Resumed,
    Started,
    StepDone,
    StorageProblem,
)
from lbc.runs.folder import Position, RunState, Status
from lbc.runs.history_writer import moments_per_epoch
from lbc.sparsity.sparsifier import Sparsifier
from lbc.training import checkpoint as saved
from lbc.training.allocator import keep_freed_memory
from lbc.training.control import Control
from lbc.training.evaluation import evaluate
from lbc.training.failures import TrainingError, check_finite, sentence
from lbc.training.optimizer import build_optimizer, learning_rate
from lbc.training.preparation import fewest_images, prepare
from lbc.training.ranks import ALONE, Ranks
from lbc.training.recorder import Recorder
from lbc.training.step import Place, Stepper
from lbc.training.weight_average import WeightAverage

PROGRESS_SECONDS = 0.2
"""How often a removal tells how far it is; a shorter one does not tell at all."""


class RemovalStoppedError(Exception):
    """The run was stopped while combinations were being removed; none has been."""


class Trainer:
    """One run of one experiment, from the seed, or from a checkpoint, to the finished model.

    ``emit`` receives every event; ``watch`` is called between steps and while paused, with the
    sparsifier and the moment in epochs. Both run in the training thread. With ``folder`` None
    nothing is written. ``attended`` says that somebody is there to make room on a full disk: the
    run then pauses and tries again, instead of ending. With ``resume`` the run in ``folder`` goes
    on exactly where its last checkpoint left it. Of several processes, each with its own trainer
    and ``ranks``, only the first has a folder.
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
        ranks: Ranks = ALONE,
    ) -> None:
        self.experiment = experiment
        self._experiment_text = dump_experiment(experiment)
        self.control = control or Control()
        self._emit = emit
        self._watch = watch
        self._folder = folder
        self._resume = resume
        self._ranks = ranks
        self._recorder = Recorder(folder, self._ask_room if attended else None)
        self._step = 0
        self._loss_sum, self._seen = 0.0, 0
        self._seconds = self._saved_at = 0.0
        self._last: EpochDone | None = None
        self._prepared: Prepared
        self._ready = False
        self._started = False

    def train(self) -> Finished:
        """Prepare, train, finish. Raises TrainingError; the last good checkpoint stays."""
        failure: RunState | None = None
        keep_freed_memory()
        try:
            self._prepare()
            finished = self._finish("finished" if self._train_epochs() else "stopped")
        except Exception as error:
            message = sentence(error, self._ranks.count)
            failure = self._state("failed", message=message)
            raise TrainingError(message) from error
        finally:
            self._recorder.close(failure)
            if self._ready:
                self._loader.close()
        self._emit(finished)
        return finished

    def linger(self) -> None:
        """After the end, go on being watched until the run is discarded."""
        if self._ready:
            self.control.linger(self._look)

    # -- preparing ------------------------------------------------------------------------------

    def _prepare(self) -> None:
        experiment, settings = self.experiment, self.experiment.training
        self._device = _device(self._ranks.device(experiment.device))
        checkpoint = self._read_checkpoint() if self._resume else None
        torch.manual_seed(experiment.seed)
        self._data = load(experiment.data)
        model, self._sparsifier, self._prepared = prepare(experiment, self._data, self._ranks.count)
        fewest = fewest_images(experiment, self._ranks.count)
        self._loader = Loader(
            self._data,
            experiment.data,
            settings.batch_size,
            experiment.seed,
            fewest,
            self._ranks.rank,
            self._ranks.count,
        )
        self._model = _placed(model, self._device, experiment)
        self._sparsifier.model = self._model
        self._optimizer = build_optimizer(self._model, experiment.optimizer)
        self._stepper = Stepper(
            self._sparsifier, self._optimizer, settings, experiment.seed, self._device, self._ranks
        )
        decay = settings.ema_decay
        self._average = WeightAverage(self._sparsifier, decay) if decay else None
        if checkpoint is not None:
            self._restore(checkpoint)
        if settings.compile:
            self._model.compile()
        resumed = self._reopen(checkpoint) if self._resume and self._folder else None
        self._ready = True
        self._emit(self._prepared)
        if resumed is not None:
            self._emit(resumed)

    def _read_checkpoint(self) -> saved.Checkpoint | None:
        """The run's checkpoint, checked; None where it was cut off before the first."""
        file = (self._folder or Path()) / saved.FILE
        mine = file.read_bytes() if self._folder is not None and file.exists() else None
        data = self._ranks.share_bytes(mine)
        if data is None:
            return None
        checkpoint = saved.read_checkpoint(data, file)
        saved.check_experiment(checkpoint, self.experiment, file)
        return checkpoint

    def _restore(self, checkpoint: saved.Checkpoint) -> None:
        file = (self._folder or Path()) / saved.FILE
        saved.check_layout(checkpoint, self._prepared.steps_per_epoch, self._ranks.count, file)
        saved.load_model(self._model, checkpoint.model, file)
        saved.load_optimizer(self._optimizer, checkpoint.optimizer, file)
        self._stepper.scaler.load_state_dict(checkpoint.scaler)
        if self._average is not None:
            self._average.load(checkpoint.average, file)
        self._step = checkpoint.step
        self._loss_sum, self._seen = checkpoint.loss_sum, checkpoint.seen
        self._seconds = self._saved_at = checkpoint.seconds
        self._last = checkpoint.last
        if self._device.type == "cpu":
            # With other threads torch adds up in another order, and the last bits change.
            torch.set_num_threads(checkpoint.threads)

    def _reopen(self, checkpoint: saved.Checkpoint | None) -> Resumed:
        position = checkpoint.position if checkpoint else Position()
        layers = self._prepared.layers
        resumed = self._recorder.go_on(self.experiment, layers, position)
        self._started = position.moments > 0
        self._recorder.write_state(self._state("running"))
        return resumed

    # -- training -------------------------------------------------------------------------------

    def _train_epochs(self) -> bool:
        done = self._last.epoch if self._last else 0
        return all(self._train_epoch(epoch) for epoch in range(done, self._prepared.epochs))

    def _train_epoch(self, epoch: int) -> bool:
        """Whether the epoch was completed; False where the run was stopped."""
        begin = self._step - epoch * self._prepared.steps_per_epoch
        for batch in self._loader.batches(epoch, begin):
            if not self._proceed():
                return False
            if not self._started:
                self._start()
            if not self._remove_between_steps():
                return False
            self._loss_sum += self._train_step(batch) * batch.size
            self._seen += batch.size
            self._keep_now_and_then()
            self._save_now_and_then()
            self._look()
        return self._end_epoch(epoch + 1, self._loss_sum / self._seen)

    def _proceed(self) -> bool:
        """Whether to take another step; all ranks take it, or none."""
        on = self.control.proceed(self._attend)
        if on:
            self._obey()
        return self._ranks.sum([float(not on)], self._device) == [0.0]

    def _attend(self) -> None:
        self._obey()
        self._look()

    def _obey(self) -> None:
        """Carry out what the user has asked for since the last time."""
        while (wish := self.control.take_wish()) is not None:
            self._intervene(wish)

    def _intervene(self, wish: Intervention) -> None:
        if not self._started:
            self._start()
        try:
            if self._ranks.count > 1:
                raise ValueError(
                    "Several processes train this run: none of them can be stepped into."
                )
            act = self._sparsifier.pin if wish.action == "pin" else self._sparsifier.ban
            act(wish.layer, wish.combination, wish.block, self._optimizer)
        except ValueError as error:
            self._emit(InterventionRefused(str(error)))
            return
        done = Intervened(wish, self._step, self._epoch, self._recorder.moments)
        self._recorder.add_intervention(done)
        self._recorder.add_moment(self._epoch, self._sparsifier)
        # At once, for no schedule would do it again after a kill.
        self._save()
        self._emit(done)

    def _start(self) -> None:
        self._started = True
        if self._recorder.written is None:
            self._recorder.open(self.experiment, self._prepared.layers)
        self._recorder.add_moment(0.0, self._sparsifier)
        self._emit(Started(self._recorder.written))

    def _train_step(self, batch: Batch) -> float:
        began = time.perf_counter()
        rate = learning_rate(self.experiment.optimizer, self._epoch, self._prepared.epochs)
        place = Place(self._step + 1, self._epoch, rate)
        part = self._stepper.take(batch.images, batch.labels, place, batch.size)
        (value,) = self._ranks.sum([part], self._device)
        self._step += 1
        if self._average is not None:
            self._average.update(self._step)
        self._seconds += time.perf_counter() - began
        done = StepDone(self._step, self._epoch, value, rate, self._seconds)
        self._recorder.add_step(done)
        self._emit(done)
        return value

    def _keep_now_and_then(self) -> None:
        """Keep moments inside epochs where epochs are few, evenly spread over their steps."""
        steps = self._prepared.steps_per_epoch
        count = moments_per_epoch(self._prepared.layers, self._prepared.epochs)
        step = self._step % steps
        # The moment of an epoch's end waits for what is removed then.
        if step and step * count // steps > (step - 1) * count // steps:
            self._recorder.add_moment(self._epoch, self._sparsifier)

    def _save_now_and_then(self) -> None:
        minutes = (self._seconds - self._saved_at) / 60
        ended = self._step % self._prepared.steps_per_epoch == 0
        # At an epoch's end the checkpoint waits for what is removed and tested then.
        if minutes >= self.experiment.training.checkpoint_minutes and not ended:
            self._save()

    def _remove_between_steps(self) -> bool:
        """Whether to go on. Before a step: a run stopped here begins with the same again."""
        settings = self.experiment.schedule
        if settings.every != "step" or not self._sparsifier.due(
            settings.as_schedule(), self._epoch
        ):
            return True
        began = time.perf_counter()
        removed = self._remove(self._epoch)
        self._seconds += time.perf_counter() - began
        if removed:
            self._recorder.add_moment(self._epoch, self._sparsifier)
        return removed

    def _remove(self, epoch: float) -> bool:
        """Remove what the schedule asks for; False where the user stopped that."""
        schedule = self.experiment.schedule.as_schedule()
        told = began = time.perf_counter()

        def progress(share: float) -> None:
            nonlocal told
            self._look()
            # Several processes remove together or not at all: they stop before the next step.
            if self.control.stopped and self._ranks.count == 1:
                raise RemovalStoppedError
            now = time.perf_counter()
            if now - told > PROGRESS_SECONDS or (share == 1 and told > began):
                told = now
                self._emit(RemovalProgress(epoch, share))

        try:
            self._sparsifier.follow(schedule, epoch, self._optimizer, progress)
        except RemovalStoppedError:
            return False
        return True

    def _end_epoch(self, epoch: int, train_loss: float) -> bool:
        """Whether the epoch has ended; False where the user stopped that."""
        began = time.perf_counter()
        self._ranks.share_buffers(self._model)
        # Removal comes first: what is evaluated is the mask the schedule asks for by now.
        if not self._remove(epoch):
            return False
        self._ranks.check_equal(self._model, self._device)
        test_loss, accuracy = self._evaluate()
        self._seconds += time.perf_counter() - began
        done = EpochDone(
            epoch=epoch,
            train_loss=train_loss,
            test_loss=test_loss,
            accuracy=accuracy,
            live=tuple(layer.live_count for layer in self._sparsifier.layers.values()),
            density=self._sparsifier.density(),
            seconds=self._seconds,
        )
        self._last = done
        self._loss_sum, self._seen = 0.0, 0
        self._recorder.add_moment(epoch, self._sparsifier)
        self._recorder.add_epoch(done)
        self._save()
        self._recorder.write_state(self._state("running"))
        self._emit(done)
        return True

    def _evaluate(self) -> tuple[float, float]:
        settings = self.experiment.training
        with self._average.applied() if self._average else nullcontext():
            return evaluate(
                self._model,
                self._loader,
                self._device,
                self._ranks,
                settings.channels_last,
                self._stepper.autocast,
                self._look,
            )

    def _finish(self, status: Literal["finished", "stopped"]) -> Finished:
        self._look()
        state = self._state(status)
        if status == "finished":
            with self._average.applied() if self._average else nullcontext():
                self._recorder.write_model(self._sparsifier)
        else:
            self._save()
        self._recorder.write_state(state)
        folder = self._recorder.written
        return Finished(status, state.accuracy, state.density, self._seconds, folder)

    # -- what others see ------------------------------------------------------------------------

    @property
    def _epoch(self) -> float:
        return self._step / self._prepared.steps_per_epoch

    def _look(self) -> None:
        self._watch(self._sparsifier, self._epoch)

    def _ask_room(self, message: str) -> bool:
        self.control.pause()
        self._emit(StorageProblem(message))
        return self.control.proceed(self._look)

    def _state(self, status: Status, message: str = "") -> RunState:
        last = self._last
        return RunState(
            status=status,
            epoch=last.epoch if last else 0,
            accuracy=last.accuracy if last else None,
            density=last.density if last else 1.0,
            seconds=round(self._seconds, 3),
            message=message,
        )

    def _save(self) -> None:
        self._saved_at = self._seconds
        if self._recorder.written is not None:
            check_finite(self._model)
            self._recorder.write_checkpoint(self._checkpoint)

    def _checkpoint(self) -> dict[str, Any]:
        return {
            "version": saved.VERSION,
            "experiment": self._experiment_text,
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
            "model": self._model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "scaler": self._stepper.scaler.state_dict(),
            "average": self._average.values if self._average else {},
        }


def _device(name: str) -> torch.device:
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:  # the latter where torch was built without it
        raise TrainingError(
            f"The device {name} cannot be used on this machine: set device to cpu."
        ) from error


def _placed(model: nn.Module, device: torch.device, experiment: Experiment) -> nn.Module:
    if experiment.training.sync_batchnorm:
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
    if experiment.training.channels_last:
        return model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
    return model.to(device)
