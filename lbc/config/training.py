"""Training settings: removal schedule, optimiser, length, precision."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from lbc.config.values import Bytes, Interval, OptionalPath, Section
from lbc.sparsity.schedule import Kind, Schedule


class RemovalSchedule(Section):
    """When combinations are removed."""

    kind: Kind = Field(default="polynomial", description="How the live combinations decrease.")
    start: float = Field(default=0, ge=0, description="Epoch at which removal starts (t_i).")
    end: float = Field(default=8, gt=0, description="Epoch at which one combination is left (t_f).")
    exponent: float = Field(
        default=3, gt=0, le=100, description="Exponent of the polynomial; higher removes earlier."
    )
    steps: int = Field(default=4, ge=1, le=100_000, description="Steps of the step schedule.")
    every: Literal["epoch", "step"] = Field(
        default="epoch", description="Remove at the end of each epoch, or before any step."
    )

    @field_validator("end")
    @classmethod
    def _check_end(cls, end: float, info: ValidationInfo) -> float:
        if "start" in info.data:
            Schedule(start=info.data["start"], end=end)
        return end

    def as_schedule(self) -> Schedule:
        """Return the schedule that training follows, in epochs."""
        return Schedule(self.kind, self.start, self.end, self.exponent, self.steps)


Milestones = Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(strict=False)]


class Optimizer(Section):
    """Optimiser of weights and scores, and its learning rate schedule."""

    name: Literal["sgd", "adam", "adamw"] = Field(default="sgd", description="Update rule.")
    lr: float = Field(default=0.1, gt=0, description="Learning rate of weights and scores.")
    momentum: float = Field(default=0.9, ge=0, lt=1, description="Momentum; SGD only.")
    nesterov: bool = Field(default=False, description="Use Nesterov momentum; SGD only.")
    weight_decay: float = Field(default=1e-4, ge=0, description="L2 decay of weights and scores.")
    lr_schedule: Literal["cosine", "step", "constant"] = Field(
        default="cosine", description="Learning rate schedule."
    )
    final_lr: float = Field(default=0, ge=0, description="Final learning rate of the cosine.")
    lr_milestones: Milestones = Field(
        default=(), description="Epochs at which the step schedule lowers the rate."
    )
    lr_factor: float = Field(
        default=0.1, gt=0, le=1, description="Factor of the step schedule at each milestone."
    )
    warmup_epochs: float = Field(default=0, ge=0, description="Epochs of linear warm-up.")
    warmup_lr: float = Field(default=0, ge=0, description="Initial learning rate of the warm-up.")

    @field_validator("nesterov")
    @classmethod
    def _check_nesterov(cls, nesterov: bool, info: ValidationInfo) -> bool:
        name, momentum = info.data.get("name", "sgd"), info.data.get("momentum")
        if nesterov and name != "sgd":
            raise ValueError(
                f"Nesterov momentum is only available for sgd, but the optimiser is {name}: "
                "set optimizer.nesterov to false or optimizer.name to sgd."
            )
        if nesterov and momentum == 0:
            raise ValueError(
                "Nesterov needs a momentum above 0: set optimizer.momentum, for example to 0.9."
            )
        return nesterov

    @field_validator("final_lr", "warmup_lr")
    @classmethod
    def _check_rate(cls, rate: float, info: ValidationInfo) -> float:
        used = {
            "final_lr": info.data.get("lr_schedule") == "cosine",
            "warmup_lr": info.data.get("warmup_epochs", 0) > 0,
        }
        highest = info.data.get("lr")
        if highest is not None and used[str(info.field_name)] and rate > highest:
            raise ValueError(
                f"{rate:g} is above the learning rate {highest:g}: lower it, or raise optimizer.lr."
            )
        return rate

    @field_validator("lr_milestones")
    @classmethod
    def _check_milestones(
        cls, milestones: tuple[float, ...], info: ValidationInfo
    ) -> tuple[float, ...]:
        if info.data.get("lr_schedule") == "step" and not milestones:
            raise ValueError(
                "The step schedule needs epochs at which the rate falls: add some, like [30, 60]."
            )
        if any(later <= earlier for earlier, later in pairwise(milestones)):
            raise ValueError("Milestones must increase: sort them, earliest epoch first.")
        return milestones


class Keep(Section):
    """Which checkpoints a run keeps, so that forks can begin there."""

    every: Interval = Field(
        default="1 epoch",
        description="Which checkpoints to keep for forks: 1 epoch, 5 epochs, removal or never.",
    )
    at_most: Bytes = Field(
        default=1 << 30, description="Disk space for them; beyond it they are thinned evenly."
    )

    def asks_for(self, epoch: float, removed: bool) -> bool:
        """Whether to keep a checkpoint after ``epoch`` epochs; ``removed``: after a removal."""
        if self.every in ("removal", "never"):
            return removed and self.every == "removal"
        return epoch % int(self.every.partition(" ")[0]) == 0


class Teacher(Section):
    """Knowledge distillation from a trained network (Hinton et al., 2015, arXiv 1503.02531)."""

    source: OptionalPath = Field(
        default="",
        description="Run or checkpoint to learn from, {seed} for the seed; empty for none.",
    )
    weight: float = Field(
        default=0.5, ge=0, le=1, description="Weight of the teacher's loss; labels get the rest."
    )
    temperature: float = Field(
        default=4, gt=0, le=1000, description="Temperature that softens both networks' outputs."
    )

    @property
    def used(self) -> bool:
        """Whether the loss depends on a teacher."""
        return self.source != "" and self.weight > 0


class Training(Section):
    """Training length, batch size, regularisation and precision."""

    epochs: int = Field(default=12, ge=1, le=100_000, description="Passes over the images.")
    batch_size: int = Field(default=64, ge=1, le=1_000_000, description="Images per step.")
    accumulate: int = Field(
        default=1,
        ge=1,
        le=10_000,
        description="Gradient accumulation steps per batch; more need less memory.",
    )
    label_smoothing: float = Field(
        default=0, ge=0, lt=1, description="Fraction of each label spread over all classes."
    )
    clip_norm: float = Field(
        default=0, ge=0, description="Clip the gradient norm of the weights to this; 0 for off."
    )
    ema_decay: float = Field(
        default=0,
        ge=0,
        lt=1,
        description="Decay of the averaged weights that are tested; 0 for off.",
    )
    precision: Literal["float32", "bfloat16", "float16"] = Field(
        default="float32", description="Data type of autocast (AMP)."
    )
    channels_last: bool = Field(
        default=False, description="Channels-last memory format; faster on most GPUs."
    )
    compile: bool = Field(default=False, description="Compile the model; needs a C++ compiler.")
    sync_batchnorm: bool = Field(
        default=False, description="Synchronise BatchNorm statistics across GPUs."
    )
    weights: OptionalPath = Field(
        default="",
        description="Checkpoint or run to start from, {seed} for the seed; empty for a new start.",
    )
    teacher: Teacher = Field(default=Teacher(), description="Network to learn from.")
    checkpoint_minutes: float = Field(
        default=10, gt=0, description="Minutes between checkpoints within an epoch."
    )
    keep: Keep = Field(default=Keep(), description="Checkpoints kept for forks.")

    @field_validator("accumulate")
    @classmethod
    def _check_accumulate(cls, parts: int, info: ValidationInfo) -> int:
        size = info.data.get("batch_size")
        if size is not None and parts > 1 and size < 2 * parts:
            raise ValueError(
                f"A batch of {size} cannot be split into {parts} parts of at least two images: "
                "lower training.accumulate, or raise training.batch_size."
            )
        return parts
