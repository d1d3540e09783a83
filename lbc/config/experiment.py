"""The experiment: every setting of a run, and the checks across sections."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

from pydantic import Field, ValidationInfo, field_validator

from lbc.config.data import Data, Digits
from lbc.config.external import EXTERNAL
from lbc.config.model import ConvNet, Model
from lbc.config.training import Optimizer, RemovalSchedule, Training
from lbc.config.values import (
    Bytes,
    ContradictionError,
    Device,
    LayerNames,
    LayerPatterns,
    Method,
    PatternText,
    SafeName,
    Section,
)
from lbc.files.home import expanded
from lbc.sparsity.method_options import Recipe, options_class
from lbc.sparsity.pattern import Pattern

VERSION: Final = 1


class Experiment(Section):
    """All settings of a run. The defaults are those of the bundled example."""

    version: int = Field(default=VERSION, ge=VERSION, le=VERSION, description="Format version.")
    name: SafeName = Field(default="digits", description="Name of the run and of its folder.")
    data: Data = Field(default=Digits(), description="Images to train and test on.")
    model: Model = Field(default=ConvNet(), description="Network to train.")
    pattern: PatternText = Field(default=Pattern(2, 4), description="Keep N of every M weights.")
    layers: LayerPatterns = Field(default={}, description="N:M or dense, per layer.")
    skip: LayerNames = Field(default=(), description="Names or globs of layers to keep dense.")
    method: Method = Field(
        default=options_class("lbc")(), description="Training method, with its options."
    )
    scores: Literal["auto", "per_weight", "per_combination"] = Field(
        default="auto", description="What has a score; auto picks per_weight where it is exact."
    )
    score_memory_limit: Bytes = Field(default=4 << 30, description="Memory limit for scores.")
    schedule: RemovalSchedule = Field(default=RemovalSchedule(), description="Removal schedule.")
    optimizer: Optimizer = Field(default=Optimizer(), description="Optimiser.")
    training: Training = Field(default=Training(), description="Training length and precision.")
    seed: int = Field(default=0, ge=0, lt=1 << 32, description="Seed of every random choice.")
    device: Device = Field(default="cpu", description="Where to train: cpu, cuda, cuda:0 or mps.")

    @property
    def initial_weights(self) -> Path | None:
        """The path of ``training.weights``; None for a new start."""
        return self.locate(self.training.weights) if self.training.weights else None

    def locate(self, path: str | Path) -> Path:
        """A path of other runs, with this one's seed for ``{seed}``, and the home folder."""
        return expanded(str(path).replace("{seed}", str(self.seed)))

    @field_validator("data", "model", mode="before")
    @classmethod
    def _default_variant(cls, value: object, info: ValidationInfo) -> object:
        if not isinstance(value, Mapping):
            return value
        model = "import" if "import" in value else "convnet"
        return {"name": "digits" if info.field_name == "data" else model, **value}

    @field_validator("scores")
    @classmethod
    def _check_form(cls, scores: str, info: ValidationInfo) -> str:
        method = info.data.get("method")
        forms = method.score_forms if method is not None else ()
        if forms and scores not in ("auto", *forms):
            raise ValueError(
                f"The scores of {info.data['method'].name} are stored {forms[0]}: set scores to "
                "auto."
            )
        return scores

    @field_validator("optimizer")
    @classmethod
    def _check_scores(cls, optimizer: Optimizer, info: ValidationInfo) -> Optimizer:
        if optimizer.name != "sgd" and info.data.get("scores") == "per_weight":
            raise ContradictionError(
                ("scores",),
                "Per-weight scores are exact only with SGD, but the optimiser is "
                f"{optimizer.name}: set scores to auto or per_combination, or optimizer.name "
                "to sgd.",
            )
        return optimizer

    @field_validator("training")
    @classmethod
    def _check_epochs(cls, training: Training, info: ValidationInfo) -> Training:
        schedule, method = info.data.get("schedule"), info.data.get("method")
        removes = method is None or "end" in method.schedule_settings
        if schedule is not None and removes and schedule.end > training.epochs:
            raise ContradictionError(
                ("schedule", "end"),
                f"Removal ends at epoch {schedule.end:g}, but training ends at epoch "
                f"{training.epochs}: lower schedule.end to {training.epochs} or raise "
                "training.epochs.",
            )
        optimizer = info.data.get("optimizer")
        if optimizer is not None:
            late = max((optimizer.warmup_epochs, *optimizer.lr_milestones))
            key = "warmup_epochs" if late == optimizer.warmup_epochs else "lr_milestones"
            if late > training.epochs:
                raise ContradictionError(
                    ("optimizer", key),
                    f"The learning rate changes at epoch {late:g}, but training ends at epoch "
                    f"{training.epochs}: lower optimizer.{key} or raise training.epochs.",
                )
        return training

    @field_validator("training")
    @classmethod
    def _check_method(cls, training: Training, info: ValidationInfo) -> Training:
        if not {"method", "pattern", "schedule", "optimizer"} <= info.data.keys():
            return training
        method, pattern = info.data["method"], info.data["pattern"]
        recipe = Recipe(
            pattern=pattern,
            schedule=info.data["schedule"].as_schedule(),
            epochs=training.epochs,
            optimizer=info.data["optimizer"].name,
            averaged=training.ema_decay > 0,
            trained=bool(training.weights) or isinstance(info.data.get("model"), EXTERNAL),
        )
        if why := method.layer_obstacle(pattern, ()):
            raise ContradictionError(("pattern",), f"{method.name} cannot train {pattern}: {why}.")
        if (found := method.obstacle(recipe)) is not None:
            raise ContradictionError(tuple(found.key.split(".")), found.sentence)
        return training

    @field_validator("device")
    @classmethod
    def _check_device(cls, device: str, info: ValidationInfo) -> str:
        training = info.data.get("training")
        if training is not None and training.sync_batchnorm and not device.startswith("cuda"):
            raise ContradictionError(
                ("training", "sync_batchnorm"),
                f"BatchNorm can be synchronised only between CUDA GPUs, not on {device}: set "
                "training.sync_batchnorm to false or device to cuda.",
            )
        return device
