"""Files of torch.save, read so that damage is found and no code in them is run."""

from __future__ import annotations

import warnings
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field

from lbc.files.torch_zip import find_damage
from lbc.inspection import explain_unloadable
from lbc.training.failures import TrainingError

Side = Annotated[int, Field(ge=1, le=1 << 16)]
ImageShape = tuple[Side, Side, Side]
"""Channels, height and width, as far as a file may state them."""

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
