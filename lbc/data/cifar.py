"""CIFAR-10 and CIFAR-100 in their binary versions; the pickled Python versions are never loaded.

A record consists of the label (for CIFAR-100 the coarse, then the fine one), one byte each, and
3,072 bytes of pixels: 32 × 32 red, then green, then blue
(https://www.cs.toronto.edu/~kriz/cifar.html).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from lbc import config
from lbc.data.dataset import DataError, Dataset, InMemoryImages, make_dataset
from lbc.data.labels import Array, check_range
from lbc.data.selection import check_take, select_splits
from lbc.files.small_file import open_regular

Source = config.Cifar10 | config.Cifar100

IN_SHAPE = (3, 32, 32)
PIXELS = 3 * 32 * 32

TEN = (tuple(f"data_batch_{number}.bin" for number in range(1, 6)), ("test_batch.bin",))
HUNDRED = (("train.bin",), ("test.bin",))

FOLDERS = {"cifar10": "cifar-10-batches-bin", "cifar100": "cifar-100-binary"}
TITLES = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100"}


def load_cifar(source: Source) -> Dataset:
    """Load both splits. Raises DataError, which names the file."""
    classes = class_count(source)
    train, test = _files(source)
    splits = select_splits(
        source, source.folder, _split(source, train, classes),
        lambda: _split(source, test, classes),
    )  # fmt: skip
    return make_dataset(source.name, *splits, classes)


def in_shape_and_classes(source: Source) -> tuple[tuple[int, int, int], int]:
    """Return the image shape (channels, height, width) and number of classes.

    Raises DataError if a file is missing.
    """
    train, _ = _files(source)
    record = _label_bytes(source) + PIXELS
    check_take(source, source.folder, sum(path.stat().st_size for path in train) // record)
    return IN_SHAPE, class_count(source)


def class_count(source: Source) -> int:
    """10, 100, or 20 for coarse labels."""
    if isinstance(source, config.Cifar10):
        return 10
    return 100 if source.labels == "fine" else 20


def _label_bytes(source: Source) -> int:
    return 1 if isinstance(source, config.Cifar10) else 2


def read_records(path: Path, label_bytes: int) -> tuple[Array, Array]:
    """Read labels, uint8 (B, label_bytes), and images, uint8 (B, 3, 32, 32), from one file.

    Raises DataError if the file cannot be read or ends within a record.
    """
    try:
        with open_regular(path) as file:
            data = np.fromfile(file, np.uint8)
    except OSError as error:
        raise DataError.unreadable(path, error) from error
    record = label_bytes + PIXELS
    if not len(data) or len(data) % record:
        raise DataError(
            f"{path} is damaged: its size of {len(data):,} bytes is not a multiple of the record "
            f"size, {record:,} bytes: copy or download the file again."
        )
    records = data.reshape(-1, record)
    return records[:, :label_bytes], records[:, label_bytes:].reshape(-1, *IN_SHAPE)


def _split(source: Source, paths: list[Path], classes: int) -> InMemoryImages:
    column = 1 if isinstance(source, config.Cifar100) and source.labels == "fine" else 0
    parts = []
    for path in paths:
        labels, images = read_records(path, _label_bytes(source))
        check_range(path, labels[:, column], classes)
        parts.append((labels[:, column], images))
    labels, images = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return InMemoryImages(torch.from_numpy(images), torch.from_numpy(labels.astype(np.int64)))


def _files(source: Source) -> tuple[list[Path], list[Path]]:
    """The paths of the training files and of the test files."""
    folder, title = source.folder, TITLES[source.name]
    if (folder / FOLDERS[source.name]).is_dir():
        folder = folder / FOLDERS[source.name]
    train, test = TEN if isinstance(source, config.Cifar10) else HUNDRED
    needed = train if source.test_share else (*train, *test)
    missing = [name for name in needed if not (folder / name).is_file()]
    if not missing:
        return [folder / name for name in train], [folder / name for name in test]
    if not folder.is_dir():
        raise DataError(
            f"{folder} is not a folder: choose the folder of {title}'s binary version, or run lbc "
            f"data download."
        )
    pickled = ("data_batch_1", "train", "cifar-10-batches-py", "cifar-100-python")
    if any((folder / name).exists() for name in pickled):
        raise DataError(
            f"{folder} has the Python version of {title}, whose pickled files are never loaded "
            f"because they can run code: use the binary version, which lbc data download fetches."
        )
    raise DataError(
        f"{folder} has no {missing[0]}: put the files of {title}'s binary version there, or run "
        f"lbc data download."
    )
