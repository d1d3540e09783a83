"""Settings of the training: removal schedule, optimizer, length, precision."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from lbc.config.values import Section
from lbc.sparsity.schedule import Kind, Schedule


class RemovalSchedule(Section):
    """When combinations are removed; ``as_schedule`` computes with it."""

    kind: Kind = Field(default="polynomial", description="Shape of the curve of live combinations.")
    start: float = Field(default=0, ge=0, description="Epoch at which removal begins (t_i).")
    end: float = Field(default=8, gt=0, description="Epoch at which one combination is left (t_f).")
    exponent: float = Field(
        default=3, gt=0, le=100, description="Power of the polynomial; higher removes more early."
    )
    steps: int = Field(default=4, ge=1, le=100_000, description="Stairs of the step schedule.")
    every: Literal["epoch", "step"] = Field(
        default="epoch", description="Remove at the end of each epoch, or before each step."
    )

    @field_validator("end")
    @classmethod
    def _after_start(cls, end: float, info: ValidationInfo) -> float:
        if "start" in info.data:
            Schedule(start=info.data["start"], end=end)
        return end

    def as_schedule(self) -> Schedule:
        """The same values as the schedule that training follows, in epochs."""
        return Schedule(self.kind, self.start, self.end, self.exponent, self.steps)


Milestones = Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(strict=False)]


class Optimizer(Section):
    """How weights and scores follow their gradients."""

    name: Literal["sgd", "adam", "adamw"] = Field(default="sgd", description="Update rule.")
    lr: float = Field(default=0.1, gt=0, description="Learning rate of weights and scores.")
    momentum: float = Field(default=0.9, ge=0, lt=1, description="Share of last step kept (SGD).")
    nesterov: bool = Field(default=False, description="Use Nesterov's momentum; SGD only.")
    weight_decay: float = Field(default=1e-4, ge=0, description="L2 decay of weights and scores.")
    lr_schedule: Literal["cosine", "step", "constant"] = Field(
        default="cosine", description="Course of the learning rate over the epochs."
    )
    final_lr: float = Field(default=0, ge=0, description="Learning rate at the end of the cosine.")
    lr_milestones: Milestones = Field(
        default=(), description="Epochs at which the step schedule lowers the rate."
    )
    lr_factor: float = Field(
        default=0.1, gt=0, le=1, description="What the step schedule multiplies the rate by."
    )
    warmup_epochs: float = Field(default=0, ge=0, description="Epochs of linear warm-up.")
    warmup_lr: float = Field(default=0, ge=0, description="Learning rate at the warm-up's start.")

    @field_validator("nesterov")
    @classmethod
    def _nesterov_has_momentum(cls, nesterov: bool, info: ValidationInfo) -> bool:
        name, momentum = info.data.get("name", "sgd"), info.data.get("momentum")
        if nesterov and name != "sgd":
            raise ValueError(
                f"Nesterov's momentum exists only for sgd, and the optimizer is {name}: "
                "set nesterov to false or the name to sgd."
            )
        if nesterov and momentum == 0:
            raise ValueError("Nesterov needs a momentum above 0: set momentum, for example to 0.9.")
        return nesterov

    @field_validator("final_lr", "warmup_lr")
    @classmethod
    def _below_the_rate(cls, rate: float, info: ValidationInfo) -> float:
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
    def _milestones_of_steps(
        cls, milestones: tuple[float, ...], info: ValidationInfo
    ) -> tuple[float, ...]:
        if info.data.get("lr_schedule") == "step" and not milestones:
            raise ValueError(
                "The step schedule needs epochs at which the rate falls: write some, like [30, 60]."
            )
        if any(later <= earlier for earlier, later in pairwise(milestones)):
            raise ValueError("The milestones must rise: write the earliest epoch first.")
        return milestones


class Training(Section):
    """How long, how many images at a time, and in which numbers."""

    epochs: int = Field(default=12, ge=1, le=100_000, description="Passes over the images.")
    batch_size: int = Field(default=64, ge=1, le=1_000_000, description="Images in each step.")
    accumulate: int = Field(
        default=1,
        ge=1,
        le=10_000,
        description="Parts each batch is taken in, to save memory.",
    )
    label_smoothing: float = Field(
        default=0, ge=0, lt=1, description="Share of each label spread over all classes."
    )
    clip_norm: float = Field(
        default=0, ge=0, description="Longest gradient of the weights; 0 leaves it as it is."
    )
    ema_decay: float = Field(
        default=0,
        ge=0,
        lt=1,
        description="Decay of averaged, tested weights; 0 for none.",
    )
    precision: Literal["float32", "bfloat16", "float16"] = Field(
        default="float32", description="Numbers that layers compute in (AMP)."
    )
    channels_last: bool = Field(
        default=False, description="Keep images channels last; faster on most GPUs."
    )
    compile: bool = Field(default=False, description="Compile the model; needs a C++ compiler.")
    sync_batchnorm: bool = Field(
        default=False, description="BatchNorm over the batch of all GPUs, not of each."
    )
    checkpoint_minutes: float = Field(
        default=10, gt=0, description="Minutes between checkpoints inside an epoch."
    )

    @field_validator("accumulate")
    @classmethod
    def _parts_of_two(cls, parts: int, info: ValidationInfo) -> int:
        size = info.data.get("batch_size")
        if size is not None and parts > 1 and size < 2 * parts:
            raise ValueError(
                f"A batch of {size} cannot be taken in {parts} parts of two images or more: "
                "lower accumulate, or raise training.batch_size."
            )
        return parts
