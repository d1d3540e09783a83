"""What a run needs to go on exactly where it was, and the checks before it does."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from lbc.config import Experiment, dump_experiment, parse_experiment
from lbc.config.strict_yaml import ExperimentError, parse_yaml, quote
from lbc.inspection import explain_unloadable
from lbc.runs.events import EpochDone
from lbc.runs.folder import CHECKPOINT, Position
from lbc.sparsity.live_sets import LiveSets
from lbc.sparsity.sparse_layer import SparseLayer
from lbc.training.failures import TrainingError

VERSION: Final = 2

FILE: Final = CHECKPOINT

FREE = ("name", "device", "data.workers", "training.checkpoint_minutes")
"""Settings that may change while a run is interrupted: no number depends on them."""


class Checkpoint(BaseModel):
    """One moment of a run, between two steps.

    ``epoch`` counts finished epochs and ``step`` finished steps; ``loss_sum`` and ``seen`` are of
    the epoch under way: its losses, each times the images of its batch, and those images. ``last``
    is what the last epoch's end told. ``average`` and ``scaler`` are empty where the experiment
    asks for none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int
    experiment: str
    in_shape: tuple[int, int, int]
    classes: int
    steps_per_epoch: int
    ranks: int
    threads: int
    epoch: int = Field(ge=0)
    step: int = Field(ge=0)
    loss_sum: float
    seen: int
    seconds: float
    last: EpochDone | None
    position: Position
    model: dict[str, Any]
    optimizer: dict[str, Any]
    scaler: dict[str, Any]
    average: dict[str, Any]


def read_checkpoint(data: bytes, file: Path) -> Checkpoint:
    """The checkpoint in the bytes of ``file``, whose code, if it holds any, is never run.

    Raises TrainingError with one sentence for anything that is no checkpoint of this version.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = torch.load(BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # damage shows in zipfile, pickle or torch, each in its own way
        raise TrainingError(explain_unloadable(file)) from error
    if not isinstance(content, dict) or "version" not in content:
        raise TrainingError(f"{file} was not written by this program: no run can go on from it.")
    if content["version"] != VERSION:
        raise TrainingError(
            f"{file} is of version {quote(content['version'])}, and {VERSION} is the one "
            "known here: go on with the version of this program that began the run."
        )
    try:
        return Checkpoint.model_validate(content)
    except ValidationError as error:
        details = error.errors(include_url=False)[0]
        key = ".".join(map(str, details["loc"]))
        raise TrainingError(f"{file} is damaged: {key!r} in it is missing or wrong.") from error


def experiment_of(checkpoint: Checkpoint, file: Path) -> Experiment:
    """The experiment a checkpoint was trained by. Raises TrainingError where it is damaged."""
    try:
        document, _ = parse_yaml(checkpoint.experiment, str(file))
        return parse_experiment(document if isinstance(document, dict) else {}, str(file))
    except ExperimentError as error:
        said = "; ".join(str(error).splitlines())
        raise TrainingError(f"The experiment in {file} cannot be used here: {said}") from error


def check_experiment(checkpoint: Checkpoint, experiment: Experiment, file: Path) -> None:
    """Raise TrainingError where the experiment is another one than was trained, naming the key."""
    # Written anew, so that settings younger than the checkpoint have their defaults in it.
    texts = (dump_experiment(experiment_of(checkpoint, file)), dump_experiment(experiment))
    old, new = (dict(_flat(parse_yaml(text, str(file))[0])) for text in texts)
    for key in dict.fromkeys([*old, *new]):
        if key not in FREE and old.get(key) != new.get(key):
            raise TrainingError(
                f"The experiment has changed since the run was interrupted: {key} was "
                f"{_told(old, key)} and is {_told(new, key)}. Set it back, or begin a new run."
            )


def check_layout(checkpoint: Checkpoint, steps_per_epoch: int, ranks: int, file: Path) -> None:
    """Raise TrainingError where data or processes are others than they were."""
    if checkpoint.ranks != ranks:
        raise TrainingError(
            f"{file} is of a run in {checkpoint.ranks} process(es), and this is {ranks}: start it "
            f"with torchrun --nproc-per-node {checkpoint.ranks}."
        )
    if checkpoint.steps_per_epoch != steps_per_epoch:
        raise TrainingError(
            f"An epoch had {checkpoint.steps_per_epoch} steps when {file} was written and has "
            f"{steps_per_epoch} now: the data has changed. Put the old data back, or begin a new "
            "run."
        )


def load_model(model: nn.Module, stored: Mapping[str, object], file: Path) -> None:
    """Give the model the stored tensors, live sets included.

    Raises TrainingError that names the first key which is missing, unknown or of another shape;
    the model is then as it was.
    """
    wanted = model.state_dict()
    for key, tensor in wanted.items():
        value = stored.get(key)
        if not isinstance(value, Tensor):
            raise TrainingError(f"{file} is of another model: it holds no {key!r}.")
        fits = value.shape == tensor.shape and value.dtype == tensor.dtype
        if key.endswith(".packed"):  # its form depends on how far the search has come
            layer = model.get_submodule(key.removesuffix(".packed"))
            if isinstance(layer, SparseLayer):
                fits = LiveSets.fits(value, layer.blocks, layer.pattern.count)
        if not fits:
            raise TrainingError(
                f"{file} is of another model: {key!r} in it is {_described(value)}, and "
                f"{_described(tensor)} is needed."
            )
    for key in stored:
        if key not in wanted:
            raise TrainingError(f"{file} is of another model: the {key!r} in it has no place here.")
    model.load_state_dict(dict(stored))


def load_optimizer(optimizer: torch.optim.Optimizer, stored: Mapping[str, Any], file: Path) -> None:
    """Give the optimiser its momenta back. Raises TrainingError where they do not fit."""
    parameters = [one for group in optimizer.param_groups for one in group["params"]]
    try:
        for index, state in stored["state"].items():
            for key, value in state.items():
                if (
                    isinstance(value, Tensor)
                    and value.ndim
                    and value.shape != parameters[index].shape
                ):
                    raise ValueError(f"{key} of parameter {index} has shape {tuple(value.shape)}")
        optimizer.load_state_dict(dict(stored))
    except (KeyError, ValueError, TypeError, IndexError, AttributeError, RuntimeError) as error:
        said = str(error).partition("\n")[0]
        raise TrainingError(f"The optimiser's state in {file} does not fit: {said}.") from error


def _flat(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else str(key))
    else:
        yield path, value


def _told(settings: Mapping[str, object], key: str) -> str:
    return quote(settings[key]) if key in settings else "not there"


def _described(tensor: Tensor) -> str:
    return f"{'×'.join(map(str, tensor.shape)) or 'a number'} of {tensor.dtype}"
