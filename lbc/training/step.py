"""One step of the optimiser: forward, backward, clip, update."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from lbc import config
from lbc.data.batches import mix_seed
from lbc.sparsity.sparsifier import Sparsifier
from lbc.training.failures import TrainingError, first_nonfinite_gradient, first_nonfinite_layer
from lbc.training.ranks import Ranks
from lbc.training.teacher import Teacher

DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class StepInfo:
    """The number of a step, from 1; the epochs completed before it; and its learning rate."""

    step: int
    epoch: float
    lr: float


class Stepper:
    """Train a model batch by batch, in one process or several.

    ``settings`` give precision, gradient accumulation, clipping and label smoothing. Random
    numbers drawn in a step, for example by dropout, depend only on seed, step and rank. ``teacher``
    may be set before the first step.
    """

    def __init__(
        self,
        sparsifier: Sparsifier,
        optimizer: torch.optim.Optimizer,
        settings: config.Training,
        seed: int,
        device: torch.device,
        ranks: Ranks,
    ) -> None:
        self._sparsifier = sparsifier
        self.model = sparsifier.model
        self.teacher: Teacher | None = None
        self.optimizer = optimizer
        self._settings = settings
        self._seed = seed
        self.device = device
        self.ranks = ranks
        scaled = settings.precision == "float16"
        self.scaler = torch.amp.GradScaler(device.type, enabled=scaled)
        layers = sparsifier.layers.values()
        self._scores = [score for layer in layers for score in layer.score_parameters()]
        known = {id(score) for score in self._scores}
        self._weights = [one for one in self.model.parameters() if id(one) not in known]
        self._parallel: DistributedDataParallel | None = None
        self._trainable: list[nn.Parameter] = []

    def step(self, images: Tensor, labels: Tensor, info: StepInfo, batch_size: int) -> float:
        """Train on this rank's part of a batch; return its contribution to the mean loss.

        ``images`` (B, channels, H, W) and ``labels``, int64 (B,) or class probabilities
        (B, classes), may be on any device. ``batch_size`` counts the images of all ranks; the
        results of all ranks add up to the mean loss of the batch.

        Raises TrainingError if the loss or a gradient is not finite; weights are then unchanged.
        """
        self._seed_step(info.step)
        for group in self.optimizer.param_groups:
            group["lr"] = info.lr * group.get("lr_scale", 1)
        self.model.train()
        self.optimizer.zero_grad()
        conductor = self._sparsifier.conductor
        conductor.before_step(info.step)
        model = self._training_model()
        images = self.place(images)
        labels = labels.to(self.device)
        count = self._settings.accumulate
        loss = torch.zeros((), device=self.device)
        parts = zip(images.tensor_split(count), labels.tensor_split(count), strict=True)
        for number, (part, targets) in enumerate(parts, start=1):
            if self._parallel is not None:
                self._parallel.require_backward_grad_sync = number == count
            with self.autocast():
                logits = model(part)
            fraction = len(part) / batch_size
            mean = self._loss(logits, part, targets)
            penalty = conductor.penalty()
            total = mean if penalty is None else mean + penalty
            # DistributedDataParallel averages gradients over the ranks; the sum is needed.
            scaled = self.scaler.scale(total * (fraction * self.ranks.count))
            scaled.backward()  # type: ignore[no-untyped-call]
            loss += mean.detach() * fraction
        self.scaler.unscale_(self.optimizer)
        conductor.before_update(info.step)
        value = self._check_and_clip(loss, images, info)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        conductor.after_update(info.step)
        return value

    def autocast(self) -> torch.autocast:
        """A context with the precision of the settings."""
        kind = DTYPES.get(self._settings.precision)
        return torch.autocast(self.device.type, dtype=kind, enabled=kind is not None)

    def place(self, images: Tensor) -> Tensor:
        """Move the images to the device; 4-D images to channels-last format if the model is."""
        if self._settings.channels_last and images.ndim == 4:
            return images.to(self.device, memory_format=torch.channels_last)
        return images.to(self.device)

    def _loss(self, logits: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        smoothing = self._settings.label_smoothing
        task = F.cross_entropy(logits.float(), labels, label_smoothing=smoothing)
        if self.teacher is None:
            return task
        with self.autocast():
            expected = self.teacher.logits(images)
        return self.teacher.mix(task, logits, expected)

    def _check_and_clip(self, loss: Tensor, images: Tensor, info: StepInfo) -> float:
        """Clip the gradients; return the loss. Raises TrainingError if a value is not finite."""
        norms = [_norm(group, self.device) for group in (self._weights, self._scores)]
        value, norm, score_norm = torch.stack([loss, *norms]).tolist()
        scaled = self.scaler.is_enabled()
        if not isfinite(value):
            raise self._divergence("loss", value, info, self._first_nonfinite(images))
        if not scaled and not (isfinite(norm) and isfinite(score_norm)):
            where = first_nonfinite_gradient(self.model)
            if where:  # otherwise all gradients are finite, and only the norm overflows
                bad = norm if not isfinite(norm) else score_norm
                raise self._divergence("gradient", bad, info, where)
        limit = self._settings.clip_norm
        # One factor for weights and scores, from the norm of the weights alone: both forms of
        # scores are then clipped alike, and the recurrences that make them equal stay linear. Of a
        # method that freezes the weights, from that of the scores.
        if all(one.grad is None for one in self._weights):
            norm = score_norm
        if limit and norm > limit:
            parameters = [*self._weights, *self._scores]
            nn.utils.clip_grads_with_norm_(parameters, limit, torch.tensor(norm))
        return float(value)

    def _first_nonfinite(self, images: Tensor) -> str:
        if not bool(torch.isfinite(images).all()):
            return "in the images"

        def forward() -> None:
            with self.autocast():
                self.model(images)

        return first_nonfinite_layer(self.model, forward)

    def _divergence(self, what: str, value: float, info: StepInfo, where: str) -> TrainingError:
        first = f", first {where}" if where else ""
        return TrainingError(
            f"The {what} became {value} in step {info.step} (epoch {info.epoch:.2f}){first}: "
            f"lower the learning rate (now {info.lr:g}), or check the data."
        )

    def _seed_step(self, step: int) -> None:
        seed = mix_seed(self._seed, step, self.ranks.rank)
        if self.device.type == "cpu":  # torch.manual_seed notes for each GPU where it was called
            torch.default_generator.manual_seed(seed)
        else:
            torch.manual_seed(seed)

    def _training_model(self) -> nn.Module:
        """Return the model, wrapped in DistributedDataParallel if there are several ranks.

        The wrapper is rebuilt when parameters are frozen or thawed, because it must know at its
        construction which ones receive gradients.
        """
        if self.ranks.count == 1:
            return self.model
        trainable = [one for one in self.model.parameters() if one.requires_grad]
        if self._parallel is None or [*map(id, trainable)] != [*map(id, self._trainable)]:
            self._parallel = None  # also removes its hooks
            self._trainable = trainable
            self._parallel = self._wrap()
        return self._parallel

    def _wrap(self) -> DistributedDataParallel:
        with warnings.catch_warnings():
            # Newer versions of torch rename an option; the new name is unknown to older ones.
            warnings.simplefilter("ignore", FutureWarning)
            return DistributedDataParallel(
                self.model,
                device_ids=[self.device.index] if self.device.type == "cuda" else None,
                broadcast_buffers=False,  # Ranks.broadcast_buffers does it once per epoch
            )


def _norm(parameters: Iterable[nn.Parameter], device: torch.device) -> Tensor:
    gradients = [one.grad for one in parameters if one.grad is not None]
    if not gradients:
        return torch.zeros((), device=device)
    return nn.utils.get_total_norm(gradients).float()
