"""Validation of labels, for all file formats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from lbc.data.dataset import DataError

Array = np.ndarray[Any, np.dtype[Any]]


def count_classes(path: Path, labels: Array) -> int:
    """max(labels) + 1. Raises DataError unless labels are integers from 0 and not all equal."""
    if labels.ndim != 1 or labels.dtype.kind not in "ui":
        raise DataError(
            f"The labels in {path} are {labels.dtype} of shape {labels.shape}: they must be "
            f"integers of shape (images,)."
        )
    if not len(labels):
        raise DataError(f"{path} is empty: add images and labels.")
    smallest, largest = int(labels.min()), int(labels.max())
    if smallest < 0:
        raise DataError(f"{path} has the label {smallest}: number the classes from 0.")
    if smallest == largest:
        raise DataError(
            f"Every label in {path} is {smallest}: training needs at least two classes."
        )
    if largest >= len(labels):
        raise DataError(
            f"{path} has the label {largest} but only {len(labels)} labels: number the classes 0, "
            f"1, 2 and so on, without gaps."
        )
    return largest + 1


def check_range(path: Path, labels: Array, classes: int) -> None:
    """Raise DataError unless all labels are below ``classes``."""
    bad = np.flatnonzero(labels >= classes)
    if len(bad):
        raise DataError(
            f"{path} has the label {int(labels[bad[0]])}, first at image {int(bad[0])}, but there "
            f"are {classes} classes, numbered from 0: copy or download the file again."
        )
