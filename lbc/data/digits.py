"""The bundled set of 5,000 handwritten digits."""

from __future__ import annotations

import torch

from lbc.data.dataset import DataError, Dataset, split_dataset
from lbc.data.npz import read_arrays
from lbc.files.resources import resource

IN_SHAPE = (1, 28, 28)
CLASSES = 10
TEST_SHARE = 0.2


def load_digits() -> Dataset:
    """Load 4,000 training and 1,000 test images, 400 and 100 per class.

    Raises DataError if the shipped file is missing or damaged.
    """
    try:
        path = resource("data/mnist_5k.npz")
    except FileNotFoundError as error:
        raise DataError(str(error)) from error
    try:
        images, labels = read_arrays(path)
    except DataError as error:
        if isinstance(error.__cause__, OSError):
            raise
        raise DataError(f"The shipped {path} is damaged: reinstall the package.") from error
    return split_dataset(
        "digits",
        torch.from_numpy(images)[:, None],
        torch.from_numpy(labels),
        test_share=TEST_SHARE,
        classes=CLASSES,
    )
