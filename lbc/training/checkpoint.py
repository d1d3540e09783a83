"""Checkpoints: the state from which a run resumes exactly, and its validation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator
from torch import Tensor, nn

from lbc.config import Experiment, parse_experiment, to_document
from lbc.config.strict_yaml import ExperimentError, parse_yaml, quote
from lbc.files.small_file import read_regular
from lbc.files.torch_zip import find_damage
from lbc.runs.effective_experiment import experiment_after
from lbc.runs.events import EpochDone
from lbc.runs.folder import Position
from lbc.runs.kept_checkpoints import CHECKPOINT, PREVIOUS_CHECKPOINT
from lbc.sparsity.live_sets import LiveSets
from lbc.sparsity.sparse_layer import SparseLayer
from lbc.sparsity.sparsifier import Sparsifier
from lbc.sparsity.weight_sites import Site
from lbc.training.failures import TrainingError
from lbc.training.ranks import Ranks
from lbc.training.step import Stepper
from lbc.training.tensor_file import ClassCount, ImageShape, load_safely

VERSION: Final = 2

FILE: Final = CHECKPOINT

CONTRADICTION: Final = "its epochs, steps and images contradict each other"

MOST_THREADS: Final = 1 << 10
"""More were not used when a checkpoint was written, and could not be started."""

CHANGEABLE = (
    "name", "device", "data.workers", "training.checkpoint_minutes",
    "training.keep.every", "training.keep.at_most",
)  # fmt: skip
"""Settings that may differ when a run is resumed, because no result depends on them."""


LIVE_SETS_KEY = re.compile(r"(?:(.+)\.)?parametrizations\.(\w+)\.0\.(?:layer\.)?packed")


class Checkpoint(BaseModel):
    """The state of a run between two steps.

    ``epoch`` and ``step`` count completed epochs and steps. In the current epoch, ``loss_sum`` is
    the sum of the losses, each times its batch size, and ``seen`` the number of images. ``last``
    is the result of the last completed epoch. ``average`` and ``scaler`` are empty if the
    experiment uses none. ``method``: whether the method has ``decided``, and what its conductor
    keeps; empty in checkpoints of earlier versions.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int
    experiment: str
    in_shape: ImageShape
    classes: ClassCount
    steps_per_epoch: int = Field(ge=1)
    ranks: int = Field(ge=1)
    threads: int = Field(ge=1, le=MOST_THREADS)
    epoch: int = Field(ge=0)
    step: int = Field(ge=0)
    loss_sum: FiniteFloat
    seen: int = Field(ge=0)
    seconds: FiniteFloat = Field(ge=0)
    last: EpochDone | None
    position: Position
    model: dict[str, Any]
    optimizer: dict[str, Any]
    scaler: dict[str, Any]
    average: dict[str, Any]
    method: dict[str, Any] = {}

    @model_validator(mode="after")
    def _check_progress(self) -> Self:
        """Raise ValueError unless epochs, steps and images tell of the same progress."""
        first = self.epoch * self.steps_per_epoch
        whole = self.epoch == (self.last.epoch if self.last else 0)
        within = 0 <= self.step - first <= self.steps_per_epoch
        if not whole or not within or (self.seen > 0) is not (self.step > first):
            raise ValueError(CONTRADICTION)
        return self

    @property
    def sparse(self) -> frozenset[str]:
        """The weights that are sparse in the run, by ``LayerPlan.name``.

        Which weights become sparse by default has changed with the versions of this program.
        """
        return sparse_weights(self.model)


def sparse_weights(keys: Iterable[str]) -> frozenset[str]:
    """The weights that are sparse in a model with these keys, by ``LayerPlan.name``."""
    found = filter(None, map(LIVE_SETS_KEY.fullmatch, keys))
    return frozenset(Site(at[1] or "", at[2], None).name for at in found)


def read_checkpoint(data: bytes, file: Path) -> Checkpoint:
    """Parse the bytes of ``file``; code in it is never executed.

    Raises TrainingError if they are damaged or not a checkpoint of this version.
    """
    remedy = f"Use a copy of it, or the run's {PREVIOUS_CHECKPOINT} if that is intact."
    content = load_safely(data, file, remedy)
    if not isinstance(content, dict) or "version" not in content:
        raise TrainingError(
            f"{file} was not written by this program: no run can be resumed from it."
        )
    version = content["version"]
    if not isinstance(version, int | str | float) or version != VERSION:
        raise TrainingError(
            f"{file} has checkpoint version {quote(version)}, and this program reads "
            f"version {VERSION}: resume with the version of this program that started the run."
        )
    try:
        return Checkpoint.model_validate(content)
    except ValidationError as error:
        details = error.errors(include_url=False)[0]
        key = ".".join(map(str, details["loc"]))
        what = f"its {key!r} is missing or invalid" if key else CONTRADICTION
        raise TrainingError(f"{file} is damaged: {what}. {remedy}") from error


class Found(NamedTuple):
    """The checkpoint that a run resumes from; ``warning`` says if it is not the newest."""

    checkpoint: Checkpoint
    file: Path
    warning: str


def find(
    folder: Path | None, experiment: Experiment, ranks: Ranks
) -> tuple[Experiment, Found | None]:
    """Read the checkpoint to resume from as ``read_on_all_ranks``, and the experiment at it.

    ``experiment`` may be that of the run as it began, or as it is now. Raises TrainingError if the
    checkpoint belongs to another.
    """
    found = read_on_all_ranks(folder, ranks)
    if folder is not None:
        done = found.checkpoint.position.interventions if found else 0
        try:
            experiment = experiment_after(folder, experiment, done)
        except ExperimentError as error:
            reason = "; ".join(str(error).splitlines())
            raise TrainingError(f"The run cannot be resumed: {reason}") from error
    if found is not None:
        check_experiment(found.checkpoint, experiment, found.file)
    return experiment, found


def read_on_all_ranks(folder: Path | None, ranks: Ranks) -> Found | None:
    """Read the checkpoint in rank 0's run folder, on every rank; None if none has been written.

    If it is damaged, the one before is read. Raises TrainingError if both are.
    """
    file, stored, warning = _newest_intact(folder) if folder else (Path(FILE), None, "")
    data = ranks.broadcast_bytes(stored)
    if data is None:
        return None
    return Found(read_checkpoint(data, file), file, warning)


def _newest_intact(folder: Path) -> tuple[Path, bytes | None, str]:
    """The newest checkpoint, unless it is damaged and the one before is not; a warning if so."""
    newest, older = folder / FILE, folder / PREVIOUS_CHECKPOINT
    data = read_regular(newest) if newest.exists() else None
    damage = find_damage(BytesIO(data)) if data is not None else "does not exist"
    if damage is not None and older.exists():
        previous = read_regular(older)
        if find_damage(BytesIO(previous)) is None:
            return (
                older,
                previous,
                (
                    f"{newest} {damage}. Training resumes from the checkpoint before it, "
                    f"{older.name}."
                ),
            )
    return newest, data, ""


def parse_stored_experiment(checkpoint: Checkpoint, file: Path) -> Experiment:
    """Return the experiment that a checkpoint belongs to. Raises TrainingError if it is invalid."""
    try:
        document, _ = parse_yaml(checkpoint.experiment, str(file))
        return parse_experiment(document if isinstance(document, dict) else {}, str(file))
    except ExperimentError as error:
        reason = "; ".join(str(error).splitlines())
        raise TrainingError(f"The experiment in {file} cannot be used: {reason}") from error


def check_experiment(checkpoint: Checkpoint, experiment: Experiment, file: Path) -> None:
    """Raise TrainingError, naming the setting, if the experiment differs from the stored one."""
    # Parsing and dumping fills in the defaults of settings newer than the checkpoint.
    for key, change in changes(parse_stored_experiment(checkpoint, file), experiment).items():
        if key not in CHANGEABLE:
            raise TrainingError(
                f"The experiment has changed since the run was interrupted: {key} {change}. "
                "Restore it, or start a new run."
            )


def changes(old: Experiment, new: Experiment) -> dict[str, str]:
    """The settings that differ, by their keys with dots, as "was 2 and is 4"."""
    before, after = (_settings(one) for one in (old, new))
    return {
        key: f"was {_value(before, key)} and is {_value(after, key)}"
        for key in dict.fromkeys([*before, *after])
        if before.get(key) != after.get(key)
    }


def check_layout(checkpoint: Checkpoint, steps_per_epoch: int, ranks: int, file: Path) -> None:
    """Raise TrainingError if the number of processes or of steps per epoch has changed."""
    if checkpoint.ranks != ranks:
        raise TrainingError(
            f"{file} belongs to a run of {checkpoint.ranks} process(es), not {ranks}: resume it "
            f"with torchrun --nproc-per-node {checkpoint.ranks}."
        )
    if checkpoint.steps_per_epoch != steps_per_epoch:
        raise TrainingError(
            f"An epoch had {checkpoint.steps_per_epoch} steps when {file} was written and has "
            f"{steps_per_epoch} now: the data has changed. Restore the data, or start a new run."
        )


def load_model(model: nn.Module, stored: Mapping[str, object], file: Path) -> None:
    """Load the stored tensors, including live sets, into the model.

    Raises TrainingError, naming the first key that is missing, unknown or of another shape, type,
    N:M or method; the model is then unchanged.
    """
    expected = model.state_dict()
    for key, tensor in expected.items():
        value = stored.get(key)
        if not isinstance(value, Tensor):
            if key.endswith(".identity"):  # of a checkpoint of 0.1.0
                continue
            raise TrainingError(f"{file} belongs to another model: it has no {key!r}.")
        fits = value.shape == tensor.shape and value.dtype == tensor.dtype
        if key.endswith(".packed"):  # its form depends on the progress of the search
            layer = model.get_submodule(key.removesuffix(".packed"))
            if isinstance(layer, SparseLayer):
                fits = LiveSets.fits(value, layer.blocks, layer.pattern.count)
        if not fits:
            raise TrainingError(
                f"{file} belongs to another model: its {key!r} is {_describe(value)}, and "
                f"{_describe(tensor)} is needed."
            )
    for key in stored:
        if key not in expected:
            raise TrainingError(f"{file} belongs to another model: this one has no {key!r}.")
    try:
        model.load_state_dict(dict(stored))
    except RuntimeError as error:
        raise TrainingError(f"{file} belongs to another model: {error}") from error


def load_optimizer(optimizer: torch.optim.Optimizer, stored: Mapping[str, Any], file: Path) -> None:
    """Load the optimiser's state. Raises TrainingError if it does not fit the parameters."""
    try:
        _check_optimizer(optimizer, stored)
        optimizer.load_state_dict(dict(stored))
    except (KeyError, ValueError, TypeError, IndexError, AttributeError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise TrainingError(f"The optimiser state in {file} does not fit: {reason}.") from error


def _check_optimizer(optimizer: torch.optim.Optimizer, stored: Mapping[str, Any]) -> None:
    """Raise an exception if a step would fail with this state, which torch does not check."""
    parameters = [one for group in optimizer.param_groups for one in group["params"]]
    kinds: dict[str, type] = {}
    for index, state in stored["state"].items():
        for key, value in state.items():
            fits = value is None or (
                isinstance(value, Tensor)
                and value.is_floating_point()
                and value.shape in ((), parameters[index].shape)
            )
            if not fits or kinds.setdefault(key, type(value)) is not type(value):
                raise ValueError(f"{key} of parameter {index} is {_describe(value)}")
    if any(state.keys() != kinds.keys() for state in stored["state"].values()):
        raise ValueError("one parameter has more of a state than another")
    for own, group in zip(optimizer.param_groups, stored["param_groups"], strict=True):
        for key, value in own.items():
            optional = value is None or isinstance(value, bool)  # other versions of torch lack some
            if not (optional and key not in group) and type(group[key]) is not type(value):
                raise ValueError(f"its {key} is {_describe(group[key])}")


def trained(stepper: Stepper, sparsifier: Sparsifier) -> dict[str, Any]:
    """The part of a checkpoint that training has changed, except for averages."""
    return {
        "model": sparsifier.model.state_dict(),
        "optimizer": stepper.optimizer.state_dict(),
        "scaler": stepper.scaler.state_dict(),
        "method": {"decided": sparsifier.decided, "state": sparsifier.conductor.state()},
    }


def load_trained(
    stepper: Stepper, sparsifier: Sparsifier, checkpoint: Checkpoint, file: Path
) -> None:
    """Load what ``trained`` has returned. Raises TrainingError if something does not fit."""
    load_model(sparsifier.model, checkpoint.model, file)
    load_optimizer(stepper.optimizer, checkpoint.optimizer, file)
    stored = checkpoint.method
    try:
        stepper.scaler.load_state_dict(checkpoint.scaler)
        if not stored:
            return
        sparsifier.decided = stored["decided"] is True
        sparsifier.conductor.load(stored["state"])
    except (KeyError, ValueError, TypeError, IndexError, AttributeError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise TrainingError(
            f"The state of {sparsifier.method} in {file} does not fit: {reason}."
        ) from error


def _settings(experiment: Experiment) -> dict[str, object]:
    settings = dict(_flat(to_document(experiment)))
    return {"method.name" if key == "method" else key: value for key, value in settings.items()}


def _flat(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else str(key))
    else:
        yield path, value


def _value(settings: Mapping[str, object], key: str) -> str:
    return quote(settings[key]) if key in settings else "not set"


def _describe(value: object) -> str:
    if not isinstance(value, Tensor):
        return quote(value)
    return f"{'×'.join(map(str, value.shape)) or 'a number'} of {value.dtype}"
