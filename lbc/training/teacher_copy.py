"""The teacher of a run, read from where the experiment names it, and the run's own copy of it.

The copy, ``teacher.pt``, is what makes a resume exact and a fork possible when the run or
checkpoint that the teacher came from has changed or gone.
"""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import nn

from lbc import config
from lbc.config import Experiment, load_experiment, parse_experiment
from lbc.config.strict_yaml import ExperimentError, parse_yaml, quote
from lbc.data import Dataset
from lbc.files.os_errors import explain
from lbc.files.small_file import read_regular
from lbc.inspection.errors import LayerError
from lbc.inspection.torch_file import read_torch_zip
from lbc.models import build, build_on_meta
from lbc.models.layer_cost import model_cost
from lbc.runs.events import Prepared
from lbc.runs.folder import TEACHER
from lbc.runs.kept_checkpoints import CHECKPOINT
from lbc.runs.own_runs import may_import, remember_own
from lbc.sparsity.private_random import PrivateRandom
from lbc.training.failures import TrainingError
from lbc.training.initial_weights import InitialWeights
from lbc.training.ranks import Ranks
from lbc.training.tensor_file import ClassCount, ImageShape, check_size, load_safely

REMEDY: Final = "Restore the run folder from a copy, or start a new run."

Shape = ImageShape


class TeacherCopy(BaseModel):
    """What ``teacher.pt`` holds: a network's settings and tensors.

    ``source`` is the path it was read from, and ``sha256`` the digest of the file there.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: config.Model
    in_shape: Shape
    classes: ClassCount
    source: str
    sha256: str
    state: dict[str, Any]

    def as_bytes(self) -> bytes:
        """The content of the file."""
        stream = BytesIO()
        torch.save(self.model_dump(), stream)
        return stream.getvalue()

    def build(self) -> nn.Module:
        """Build the network, on the CPU, running its code if it is external."""
        check_size(self.model, self.in_shape, self.classes, self.state, Path(TEACHER))
        network = _build(self.model, self.in_shape, self.classes)
        try:
            network.load_state_dict(self.state, assign=True)
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            raise TrainingError(f"The run's {TEACHER} does not fit: {reason} {REMEDY}") from error
        return network


def copy_teacher(
    experiment: Experiment,
    in_shape: Shape,
    classes: int,
    folder: Path | None,
    allow_import: bool,
) -> TeacherCopy:
    """Read the teacher that ``experiment`` names; ``folder`` is that of the run to be trained.

    ``in_shape`` (channels, height, width) and ``classes`` are those of the run's data.
    ``allow_import``: the user has asked to run the code of the experiment's network. Raises
    TrainingError, one sentence, if the teacher cannot be used.
    """
    path = experiment.locate(experiment.training.teacher.source)
    if folder is not None and path.resolve().is_relative_to(folder.resolve()):
        raise TrainingError(
            f"The teacher {path} is this run itself: choose another run, or a checkpoint."
        )
    try:
        model = _settings(path, in_shape, classes) or experiment.model
        run = path if path.is_dir() else path.parent
        _check_import(run, model, experiment.model if allow_import else None)
        network = _build(model, in_shape, classes)
        weights = InitialWeights(path)
        weights.fill(network)
        if weights.missing:
            raise TrainingError(f"{path} lacks tensors of its network: {weights.missing}.")
    except (ExperimentError, TrainingError, ValueError) as error:
        reason = "; ".join(str(error).splitlines())
        raise TrainingError(f"The teacher cannot be used: {reason}") from error
    return TeacherCopy(
        model=model,
        in_shape=in_shape,
        classes=classes,
        source=str(path),
        sha256=weights.sha256,
        state=network.state_dict(),
    )


def with_teacher(prepared: Prepared, copy: TeacherCopy) -> Prepared:
    """The event with the digest of the teacher, and notes on its source and its cost."""
    network = build_on_meta(copy.model, copy.in_shape, copy.classes, allow_import=True)
    macs, own = model_cost(network, copy.in_shape).macs, prepared.table.macs
    notes = (
        f"Teacher: {copy.source}, SHA-256 {copy.sha256}.",
        f"The teacher adds {macs:,} multiply-adds per image to every step; the network's own "
        f"forward pass takes {own:,}.",
    )
    return replace(prepared, notes=(*prepared.notes, *notes), teacher_sha256=copy.sha256)


def read_copy(data: bytes, file: Path) -> TeacherCopy:
    """Parse the bytes of a ``teacher.pt``. Raises TrainingError if they are damaged."""
    try:
        return TeacherCopy.model_validate(load_safely(data, file, REMEDY))
    except ValidationError as error:
        raise TrainingError(f"{file} is no teacher that a run keeps. {REMEDY}") from error


def own_copy(folder: Path) -> TeacherCopy:
    """The copy of its teacher that a run keeps. Raises TrainingError if it cannot be read."""
    file = folder / TEACHER
    try:
        data = read_regular(file)
    except FileNotFoundError as error:
        raise TrainingError(f"The run has lost its teacher, {file}. {REMEDY}") from error
    except OSError as error:
        raise TrainingError(explain(error, f"The teacher {file} cannot be read")) from error
    return read_copy(data, file)


def find_copy(
    experiment: Experiment,
    data: Dataset,
    folder: Path | None,
    begun: bool,
    ranks: Ranks,
) -> TeacherCopy | None:
    """The teacher of a run, the same on every rank; None if it has none.

    A run that has ``begun`` has its own copy; for a new one, rank 0 reads the source. Raises
    TrainingError as ``copy_teacher`` and ``own_copy``.
    """
    if not experiment.training.teacher.used:
        return None
    stored = copy = None
    if ranks.is_first:
        if begun and folder is not None:
            copy = own_copy(folder)
            _check_import(folder, copy.model, experiment.model)
        else:
            copy = copy_teacher(experiment, data.in_shape, data.classes, folder, allow_import=True)
            if folder is not None:
                remember_own(folder, copy.model)
        stored = copy.as_bytes() if ranks.count > 1 else None
    stored = ranks.broadcast_bytes(stored)
    return copy or read_copy(stored or b"", Path(TEACHER))


def inherit_copy(
    parent: Path, old: Experiment, new: Experiment, in_shape: Shape, classes: int,
    folder: Path, allow_import: bool,
) -> TeacherCopy | None:  # fmt: skip
    """The teacher of a fork in ``folder``: its parent's, unless it has another source.

    ``allow_import`` as in ``copy_teacher``; to copy the parent's teacher no code is run.
    Raises TrainingError as ``copy_teacher`` and ``own_copy``.
    """
    if not new.training.teacher.used:
        return None
    before = old.training.teacher
    if not before.used or before.source != new.training.teacher.source:
        copy = copy_teacher(new, in_shape, classes, folder, allow_import)
        remember_own(folder, copy.model)
    elif may_import(parent, (copy := own_copy(parent)).model):
        remember_own(folder, copy.model)
    return copy


class _Checkpoint(BaseModel):
    """What a checkpoint of this program says of its network."""

    experiment: str
    in_shape: Shape
    classes: ClassCount


def _settings(path: Path, in_shape: Shape, classes: int) -> config.Model | None:
    """The network of the run at ``path``, a folder or a file in it; None if it is of no run.

    Raises TrainingError if the run was trained on other images or classes, and ExperimentError
    if its experiment cannot be read.
    """
    folder = path if path.is_dir() else path.parent
    of_run = path.is_dir() or path.name == "model.safetensors"
    stored = _read_checkpoint(folder / CHECKPOINT if of_run else path)
    if stored is None:
        file = folder / "experiment.yaml"
        return load_experiment(file).model if of_run and file.is_file() else None
    if (stored.in_shape, stored.classes) != (in_shape, classes):
        raise TrainingError(
            f"{path} was trained on images of {_shape(stored.in_shape)} and {stored.classes} "
            f"classes, and the data has images of {_shape(in_shape)} and {classes} classes."
        )
    document, _ = parse_yaml(stored.experiment, str(path))
    return parse_experiment(document if isinstance(document, dict) else {}, str(path)).model


def _read_checkpoint(file: Path) -> _Checkpoint | None:
    """What a checkpoint of this program says; None if it is no such file."""
    try:
        return _Checkpoint.model_validate(read_torch_zip(file).content)
    except (OSError, LayerError, ValidationError):
        return None  # if the weights cannot be read either, InitialWeights says why


def _shape(in_shape: Shape) -> str:
    return "×".join(map(str, in_shape))


def _check_import(run: Path, model: config.Model, allowed: config.Model | None) -> None:
    """Raise TrainingError if a network is code that is not allowed, nor run there by the user."""
    if model != allowed and not may_import(run, model):
        raise TrainingError(
            f"The network of the teacher in {run} is code, {quote(getattr(model, 'label', ''))}, "
            "and you did not start that run on this computer: use it where you did, or choose "
            "another teacher."
        )


def _build(model: config.Model, in_shape: tuple[int, int, int], classes: int) -> nn.Module:
    with PrivateRandom():
        return build(model, in_shape, classes, allow_import=True)
