"""CIFAR-10 and CIFAR-100 in their binary versions; the Python versions are pickled, never loaded.

A record is the label (CIFAR-100: the coarse one, then the fine one), one byte each, and 3,072
bytes: 32 × 32 red, then green, then blue (https://www.cs.toronto.edu/~kriz/cifar.html).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from lbc import config
from lbc.data.dataset import DataError, Dataset, InMemory, in_memory
from lbc.data.labels import Array, check_range

IN_SHAPE = (3, 32, 32)
PIXELS = 3 * 32 * 32

TEN = (tuple(f"data_batch_{number}.bin" for number in range(1, 6)), ("test_batch.bin",))
HUNDRED = (("train.bin",), ("test.bin",))

FOLDERS = {"cifar10": "cifar-10-batches-bin", "cifar100": "cifar-100-binary"}
TITLES = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100"}


def load_cifar(source: config.Cifar10 | config.Cifar100) -> Dataset:
    """Both splits. Raises DataError with one sentence that names the file."""
    classes = class_count(source)
    train, test = (_split(source, paths, classes) for paths in _files(source))
    return in_memory(source.name, train, test, classes)


def in_shape_and_classes(
    source: config.Cifar10 | config.Cifar100,
) -> tuple[tuple[int, int, int], int]:
    """Channels, height and width of the images and the number of classes.

    Raises DataError where a file is missing.
    """
    _files(source)
    return IN_SHAPE, class_count(source)


def class_count(source: config.Cifar10 | config.Cifar100) -> int:
    """10, 100, or 20 coarse ones."""
    if isinstance(source, config.Cifar10):
        return 10
    return 100 if source.labels == "fine" else 20


def read_records(path: Path, label_bytes: int) -> tuple[Array, Array]:
    """Labels, uint8 (B, label_bytes), and images, uint8 (B, 3, 32, 32), of one file.

    Raises DataError unless the file is a whole number of records.
    """
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}).") from error
    record = label_bytes + PIXELS
    if not len(data) or len(data) % record:
        raise DataError(
            f"{path} is damaged: {len(data):,} bytes are not a whole number of records of "
            f"{record:,} bytes: copy or download the file again."
        )
    records = data.reshape(-1, record)
    return records[:, :label_bytes], records[:, label_bytes:].reshape(-1, *IN_SHAPE)


def _split(source: config.Cifar10 | config.Cifar100, paths: list[Path], classes: int) -> InMemory:
    label_bytes = 1 if isinstance(source, config.Cifar10) else 2
    column = 1 if isinstance(source, config.Cifar100) and source.labels == "fine" else 0
    parts = []
    for path in paths:
        labels, images = read_records(path, label_bytes)
        check_range(path, labels[:, column], classes)
        parts.append((labels[:, column], images))
    labels, images = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return InMemory(torch.from_numpy(images), torch.from_numpy(labels.astype(np.int64)))


def _files(source: config.Cifar10 | config.Cifar100) -> tuple[list[Path], list[Path]]:
    """The files of the training and of the test split."""
    folder, title = source.folder, TITLES[source.name]
    if (folder / FOLDERS[source.name]).is_dir():
        folder = folder / FOLDERS[source.name]
    train, test = TEN if isinstance(source, config.Cifar10) else HUNDRED
    missing = [name for name in (*train, *test) if not (folder / name).is_file()]
    if not missing:
        return [folder / name for name in train], [folder / name for name in test]
    if not folder.is_dir():
        raise DataError(
            f"{folder} is no folder: name the one of {title}'s binary version, or fetch it with "
            f"lbc data download."
        )
    pickled = ("data_batch_1", "train", "cifar-10-batches-py", "cifar-100-python")
    if any((folder / name).exists() for name in pickled):
        raise DataError(
            f"{folder} holds the Python version of {title}, which is pickled and never loaded "
            f"because it can run code: take the binary version, which lbc data download fetches."
        )
    raise DataError(
        f"{folder} holds no {missing[0]}: put the files of {title}'s binary version there, or "
        f"fetch them with lbc data download."
    )
