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
from lbc.training.failures import TrainingError, first_bad_gradient, first_bad_layer
from lbc.training.ranks import Ranks

DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Place:
    """Where a step stands: its number from 1, how many epochs that is, and its learning rate."""

    step: int
    epoch: float
    rate: float


class Stepper:
    """Trains one model batch by batch, alone or together with other processes.

    ``settings`` decide precision, parts, clipping and label smoothing. Random numbers drawn in a
    step, as dropout does, depend on seed, step and rank alone.
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
        self._model = sparsifier.model
        self._optimizer = optimizer
        self._settings = settings
        self._seed = seed
        self._device = device
        self._ranks = ranks
        scaled = settings.precision == "float16"
        self.scaler = torch.amp.GradScaler(device.type, enabled=scaled)
        layers = sparsifier.layers.values()
        self._scores = [score for layer in layers for score in layer.score_parameters()]
        known = {id(score) for score in self._scores}
        self._weights = [at for at in self._model.parameters() if id(at) not in known]
        self._parallel: DistributedDataParallel | None = None
        self._trained = 0

    def take(self, images: Tensor, labels: Tensor, at: Place, total: int) -> float:
        """Learn from this process's share of a batch of ``total`` images; its part of the loss.

        ``images`` (B, channels, H, W) and ``labels``, int64 (B,) or the share of every class
        (B, classes), may be anywhere. The losses of all processes add up to the mean over the
        batch.

        Raises TrainingError where loss or gradients are not finite; the weights are as they were.
        """
        self._seed_step(at.step)
        for group in self._optimizer.param_groups:
            group["lr"] = at.rate
        self._model.train()
        self._optimizer.zero_grad()
        model = self._trained_model()
        images, labels = self._placed(images), labels.to(self._device)
        pieces = self._settings.accumulate
        loss = torch.zeros((), device=self._device)
        parts = zip(images.tensor_split(pieces), labels.tensor_split(pieces), strict=True)
        for number, (some, wanted) in enumerate(parts, start=1):
            if self._parallel is not None:
                self._parallel.require_backward_grad_sync = number == pieces
            with self.autocast():
                logits = model(some)
            share = len(some) / total
            mean = self._loss(logits, wanted)
            # Several processes' gradients are averaged, and the sum is wanted.
            scaled = self.scaler.scale(mean * (share * self._ranks.count))
            scaled.backward()  # type: ignore[no-untyped-call]
            loss += mean.detach() * share
        value = self._checked(loss, images, at)
        self.scaler.step(self._optimizer)
        self.scaler.update()
        return value

    def autocast(self) -> torch.autocast:
        """The precision the settings ask for."""
        kind = DTYPES.get(self._settings.precision)
        return torch.autocast(self._device.type, dtype=kind, enabled=kind is not None)

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        smoothing = self._settings.label_smoothing
        return F.cross_entropy(logits.float(), labels, label_smoothing=smoothing)

    def _placed(self, images: Tensor) -> Tensor:
        return placed(images, self._device, self._settings.channels_last)

    def _checked(self, loss: Tensor, images: Tensor, at: Place) -> float:
        """Clip, and return the loss. Raises TrainingError where anything is not finite."""
        self.scaler.unscale_(self._optimizer)
        norms = [_norm(group, self._device) for group in (self._weights, self._scores)]
        value, length, of_scores = torch.stack([loss, *norms]).tolist()
        scaled = self.scaler.is_enabled()
        if not isfinite(value):
            raise self._diverged("loss", value, at, self._first_in(images))
        if not scaled and not (isfinite(length) and isfinite(of_scores)):
            where = first_bad_gradient(self._model)
            if where:  # else the gradients are only too long for a float
                bad = length if not isfinite(length) else of_scores
                raise self._diverged("gradient", bad, at, where)
        limit = self._settings.clip_norm
        if limit and length > limit:
            # One factor for weights and scores, found from the weights alone: so both forms of
            # scores are clipped alike, and the recurrences that make them equal stay linear.
            every = [*self._weights, *self._scores]
            nn.utils.clip_grads_with_norm_(every, limit, torch.tensor(length))
        return float(value)

    def _first_in(self, images: Tensor) -> str:
        if not bool(torch.isfinite(images).all()):
            return "in the images"

        def look() -> None:
            with self.autocast():
                self._model(images)

        return first_bad_layer(self._model, look)

    def _diverged(self, what: str, value: float, at: Place, where: str) -> TrainingError:
        first = f", first {where}" if where else ""
        return TrainingError(
            f"The {what} became {value} in step {at.step} (epoch {at.epoch:.2f}){first}: "
            f"lower the learning rate (now {at.rate:g}), or check the data."
        )

    def _seed_step(self, step: int) -> None:
        torch.manual_seed(mix_seed(self._seed, step, self._ranks.rank))

    def _trained_model(self) -> nn.Module:
        """The model, wrapped where there are several processes.

        Scores that have frozen send no gradients, which the wrapper must know from its beginning.
        """
        if self._ranks.count == 1:
            return self._model
        trained = sum(one.requires_grad for one in self._model.parameters())
        if self._parallel is None or trained != self._trained:
            self._parallel = None  # takes its hooks along
            self._trained = trained
            self._parallel = self._wrapped()
        return self._parallel

    def _wrapped(self) -> DistributedDataParallel:
        with warnings.catch_warnings():
            # Newer versions of torch would have the option by another name, which older lack.
            warnings.simplefilter("ignore", FutureWarning)
            return DistributedDataParallel(
                self._model,
                device_ids=[self._device.index] if self._device.type == "cuda" else None,
                broadcast_buffers=False,  # ranks.share_buffers does it, once an epoch
            )


def placed(images: Tensor, device: torch.device, channels_last: bool) -> Tensor:
    """The images on ``device``, in the order of dimensions in memory that is asked for."""
    if channels_last and images.ndim == 4:
        return images.to(device, memory_format=torch.channels_last)
    return images.to(device)


def _norm(parameters: Iterable[nn.Parameter], device: torch.device) -> Tensor:
    gradients = [one.grad for one in parameters if one.grad is not None]
    if not gradients:
        return torch.zeros((), device=device)
    return nn.utils.get_total_norm(gradients).float()
