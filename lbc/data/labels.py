"""What labels must be, whichever file they come from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from lbc.data.dataset import DataError

Array = np.ndarray[Any, np.dtype[Any]]


def count_classes(path: Path, labels: Array) -> int:
    """max + 1. Raises DataError unless the labels are integers from 0 of at least two classes."""
    if labels.ndim != 1 or labels.dtype.kind not in "ui":
        raise DataError(
            f"The labels in {path} are {labels.dtype} of shape {labels.shape}: they must be "
            f"integers of shape (images,)."
        )
    if not len(labels):
        raise DataError(f"{path} is empty: it holds no labels.")
    smallest, largest = int(labels.min()), int(labels.max())
    if smallest < 0:
        raise DataError(f"{path} holds the label {smallest}: number the classes from 0.")
    if smallest == largest:
        raise DataError(
            f"Every label in {path} is {smallest}: there is nothing to tell apart with one class."
        )
    if largest >= len(labels):
        raise DataError(
            f"{path} holds the label {largest} but only {len(labels)} labels: number the classes "
            f"0, 1, 2 and so on, without gaps."
        )
    return largest + 1


def check_range(path: Path, labels: Array, classes: int) -> None:
    """Raise DataError where a label is not 0 … classes - 1."""
    bad = np.flatnonzero(labels >= classes)
    if len(bad):
        raise DataError(
            f"{path} holds the label {int(labels[bad[0]])}, first of image {int(bad[0])}, and "
            f"there are {classes} classes, counted from 0: copy or download the file again."
        )
