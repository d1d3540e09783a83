"""The weights that a run's last checkpoint holds: the only ones there are of its past."""

from __future__ import annotations

import os
import warnings
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lbc.files.small_file import open_regular
from lbc.files.torch_zip import find_damage
from lbc.runs.kept_checkpoints import CHECKPOINT


def read_weights(run: Path, layer: str, epoch: float) -> npt.NDArray[np.float32] | None:
    """A sparse layer's weights after ``epoch`` epochs, masked ones too, read-only: (O, I, *kernel).

    None where the run's last checkpoint is of another moment, or there is none that can be read.
    Only the layer's own bytes are read, and code in the file is never run.
    """
    try:
        file = run / CHECKPOINT
        written = file.stat().st_mtime_ns
        if abs(_epoch_of(file, written) - epoch) > 1e-9:
            return None
        tensors = _load(file)["model"]
        if file.stat().st_mtime_ns != written:  # replaced meanwhile: not what was checked
            return None
        module, _, tensor = layer.rpartition(".")  # as LayerPlan.name has it
        keys = [
            f"{holder}.parametrizations.{name}.original".removeprefix(".")
            for holder, name in ((layer, "weight"), (module, tensor))
        ]
        key = next(key for key in keys if key in tensors)
        weight = tensors[key]
        if key.removesuffix("original") + "0.layer.mask" in tensors:  # attachment.Transposed
            weight = weight.movedim(0, 1)
    except Exception:  # damage shows in zipfile, pickle or torch, each in its own way
        return None
    if not isinstance(weight, Tensor):
        return None
    array: npt.NDArray[np.float32] = np.array(weight.float().contiguous().numpy())
    array.flags.writeable = False
    return array


@lru_cache(maxsize=64)
def _epoch_of(file: Path, _written: int) -> float:
    """Epochs done at a checkpoint, kept for every version of the file: time is dragged over it.

    Raises ValueError if the file is damaged.
    """
    with open_regular(file) as content:
        if damage := find_damage(content):
            raise ValueError(f"{file} {damage}.")
    saved = _load(file)
    return float(saved["step"] / saved["steps_per_epoch"])


def _load(file: Path) -> Any:
    # On Windows a mapped file cannot be replaced, as a trainer does.
    mapped = os.name == "posix"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.load(file, map_location="cpu", weights_only=True, mmap=mapped)
