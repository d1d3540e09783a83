"""The bundled set of 5,000 handwritten digits."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch

from lbc import config
from lbc.data.dataset import DataError, Dataset, InMemoryImages, make_dataset
from lbc.data.npz import read_arrays
from lbc.data.selection import select_splits, stratified_split
from lbc.files.resources import resource

IN_SHAPE = (1, 28, 28)
CLASSES = 10
TEST_SHARE = 0.2
TRAIN_IMAGES = 4000
PLACE = "the bundled digits"


def load_digits(source: config.Digits) -> Dataset:
    """Load 4,000 training and 1,000 test images, 400 and 100 per class, or what is taken of them.

    Raises DataError if the shipped file is missing or damaged.
    """
    try:
        path = resource("data/mnist_5k.npz")
    except FileNotFoundError as error:
        raise DataError(str(error)) from error
    train, test = _read_splits(path)
    return make_dataset("digits", *select_splits(source, PLACE, train, lambda: test), CLASSES)


@cache
def _read_splits(path: Path) -> tuple[InMemoryImages, InMemoryImages]:
    """The training and the test images, which are read once for all runs of a process."""
    try:
        images, labels = read_arrays(path)
    except DataError as error:
        if isinstance(error.__cause__, OSError):
            raise
        raise DataError(f"The shipped {path} is damaged: reinstall the package.") from error
    digits = InMemoryImages(torch.from_numpy(images)[:, None], torch.from_numpy(labels).long())
    train, test = (digits.select(part) for part in stratified_split(digits.labels, TEST_SHARE))
    return train, test
