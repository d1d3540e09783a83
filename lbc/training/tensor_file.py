"""Files of torch.save, read so that damage is found and no code in them is run."""

from __future__ import annotations

import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from lbc.files.torch_zip import find_damage
from lbc.inspection import explain_unloadable
from lbc.training.failures import TrainingError


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
