"""The weights that a run's last checkpoint holds: the only ones there are of its past."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

FILE = "checkpoint.pt"


def read_weights(run: Path, layer: str, epoch: float) -> npt.NDArray[np.float32] | None:
    """A sparse layer's weights after ``epoch`` epochs, masked ones too, read-only, in its shape.

    None where the run's last checkpoint is of another moment, or there is none that can be read.
    Only the layer's own bytes are read, and code in the file is never run.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            saved = torch.load(run / FILE, map_location="cpu", weights_only=True, mmap=True)
        at = saved["step"] / saved["steps_per_epoch"]
        weight = saved["model"][f"{layer}.parametrizations.weight.original".lstrip(".")]
    except (OSError, RuntimeError, pickle.UnpicklingError, LookupError, TypeError, ValueError):
        return None
    if abs(at - epoch) > 1e-9 or not isinstance(weight, Tensor):
        return None
    array: npt.NDArray[np.float32] = np.array(weight.float().contiguous().numpy())
    array.flags.writeable = False
    return array
