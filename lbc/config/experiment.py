"""The experiment: every setting of a run, and how they must agree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from pydantic import Field, ValidationInfo, field_validator

from lbc.config.data import Data, Digits
from lbc.config.model import ConvNet, Model
from lbc.config.training import Optimizer, RemovalSchedule, Training
from lbc.config.values import (
    Bytes,
    Device,
    ElsewhereError,
    LayerNames,
    LayerPatterns,
    MethodName,
    PatternText,
    SafeName,
    Section,
)
from lbc.sparsity.pattern import Pattern

VERSION: Final = 1


class Experiment(Section):
    """Everything that decides a run. Without arguments: the bundled quick example."""

    version: int = Field(default=VERSION, ge=VERSION, le=VERSION, description="Format of the file.")
    name: SafeName = Field(default="digits", description="Name of the run and of its folder.")
    data: Data = Field(default=Digits(), description="Images to learn from.")
    model: Model = Field(default=ConvNet(), description="Network to train.")
    pattern: PatternText = Field(default=Pattern(2, 4), description="N of every M weights stay.")
    layers: LayerPatterns = Field(default={}, description="N:M or dense, layer by layer.")
    skip: LayerNames = Field(default=(), description="Names or globs of more dense layers.")
    method: MethodName = Field(
        default="lbc", description="Training method: lbc, sr-ste, asp or dense."
    )
    scores: Literal["auto", "per_weight", "per_combination"] = Field(
        default="auto", description="What carries a score; auto takes per_weight where it is exact."
    )
    score_memory_limit: Bytes = Field(default=4 << 30, description="Most memory for scores (GiB).")
    schedule: RemovalSchedule = Field(default=RemovalSchedule(), description="Pace of removal.")
    optimizer: Optimizer = Field(default=Optimizer(), description="How weights and scores learn.")
    training: Training = Field(default=Training(), description="How long to train.")
    seed: int = Field(default=0, ge=0, lt=1 << 32, description="Seed of every random choice.")
    device: Device = Field(default="cpu", description="Where to train: cpu, cuda, cuda:0 or mps.")

    @field_validator("data", "model", mode="before")
    @classmethod
    def _default_variant(cls, value: object, info: ValidationInfo) -> object:
        if not isinstance(value, Mapping):
            return value
        model = "import" if "import" in value else "convnet"
        return {"name": "digits" if info.field_name == "data" else model, **value}

    @field_validator("optimizer")
    @classmethod
    def _per_weight_is_linear(cls, optimizer: Optimizer, info: ValidationInfo) -> Optimizer:
        if optimizer.name != "sgd" and info.data.get("scores") == "per_weight":
            raise ElsewhereError(
                ("scores",),
                "The per-weight form is exact only under SGD, and the optimizer is "
                f"{optimizer.name}: choose auto or per_combination here, or sgd as the optimizer.",
            )
        return optimizer

    @field_validator("training")
    @classmethod
    def _ends_in_training(cls, training: Training, info: ValidationInfo) -> Training:
        schedule = info.data.get("schedule")
        if schedule is not None and schedule.end > training.epochs:
            raise ElsewhereError(
                ("schedule", "end"),
                f"The schedule removes the last combination at epoch {schedule.end:g}, after "
                f"training has ended at {training.epochs}: lower schedule.end to "
                f"{training.epochs} or raise training.epochs.",
            )
        optimizer = info.data.get("optimizer")
        if optimizer is not None:
            late = max((optimizer.warmup_epochs, *optimizer.lr_milestones))
            key = "warmup_epochs" if late == optimizer.warmup_epochs else "lr_milestones"
            if late > training.epochs:
                raise ElsewhereError(
                    ("optimizer", key),
                    f"The learning rate is to change at epoch {late:g}, after training has ended "
                    f"at {training.epochs}: lower {key} or raise training.epochs.",
                )
        return training

    @field_validator("device")
    @classmethod
    def _batchnorm_has_gpus(cls, device: str, info: ValidationInfo) -> str:
        training = info.data.get("training")
        if training is not None and training.sync_batchnorm and not device.startswith("cuda"):
            raise ElsewhereError(
                ("training", "sync_batchnorm"),
                f"BatchNorm is synchronised only between CUDA GPUs, and the device is {device}: "
                "set sync_batchnorm to false or device to cuda.",
            )
        return device
