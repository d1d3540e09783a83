"""Files of torch.save, read so that damage is found and no code in them is run."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field, Strict
from torch import Tensor

from lbc import config
from lbc.files.torch_zip import find_damage
from lbc.inspection import explain_unloadable
from lbc.models import build_on_meta
from lbc.training.failures import TrainingError

Side = Annotated[int, Field(ge=1, le=1 << 16)]
ImageShape = Annotated[tuple[Side, Side, Side], Strict()]
"""Channels, height and width, as far as a file may state them. A tensor there, which may have any
number of elements, is not even looked at."""

ClassCount = Annotated[int, Field(ge=1, le=1 << 24)]


def load_safely(data: bytes, file: Path, remedy: str) -> Any:
    """Load the bytes of a ``file`` of torch.save, on the CPU; code in it is never executed.

    Raises TrainingError, with the ``remedy``, if they are damaged.
    """
    if damage := find_damage(BytesIO(data)):
        raise TrainingError(f"{file} {damage}. {remedy}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file fails in zipfile, pickle or torch
        raise TrainingError(explain_unloadable(file)) from error


def check_size(
    model: config.Model,
    in_shape: ImageShape,
    classes: int,
    stored: Mapping[str, object],
    file: Path,
) -> None:
    """Raise TrainingError if a network is larger than what ``file`` has ``stored`` of it.

    A file can state any size: this finds out without allocating memory for it. External models are
    not built here, as that runs their code.
    """
    if isinstance(model, config.EXTERNAL):
        return
    try:
        network = build_on_meta(model, in_shape, classes)
    except ValueError as error:
        raise TrainingError(f"{file} belongs to another model: {error}") from error
    needed = sum(parameter.numel() for parameter in network.parameters())
    held = sum(tensor.numel() for tensor in stored.values() if isinstance(tensor, Tensor))
    if needed > held:
        raise TrainingError(
            f"{file} belongs to another model: the network that it states has {needed:,} "
            f"parameters, and it holds {held:,} numbers."
        )
