"""The images an experiment trains on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from lbc import config
from lbc.data import cifar, digits, folder, idx, npz
from lbc.data.batches import batch_sizes, batches
from lbc.data.dataset import DataError, Dataset, TakeError
from lbc.data.loader import Batch, Loader
from lbc.data.selection import check_take, hold_out, missing_classes
from lbc.files.home import expanded

__all__ = [
    "Batch",
    "DataError",
    "Dataset",
    "Loader",
    "TakeError",
    "batch_sizes",
    "batches",
    "describe",
    "load",
    "usual_shape",
]


def load(data: config.Data, held_out: float = 0.0) -> Dataset:
    """Load the training and test split of an experiment's data.

    ``held_out`` is the share of the training images to be kept apart: see ``Dataset.held_out``.
    Raises DataError, which names the file.
    """
    with _readable():
        loaded = _load(_expanded(data))
    if held_out:
        loaded = hold_out(loaded, held_out)
    if not (data.take or data.test_share):
        return loaded
    return replace(loaded, notes=(*loaded.notes, *missing_classes(loaded)))


def describe(data: config.Data) -> tuple[tuple[int, int, int], int]:
    """Return the image shape (channels, height, width) and number of classes.

    Fast: reads only headers, labels and folder names, not the images.

    Raises DataError, which names the file.
    """
    with _readable():
        return _describe(_expanded(data))


@contextmanager
def _readable() -> Iterator[None]:
    """Turn what the operating system refuses, such as entering a folder, into a DataError."""
    try:
        yield
    except OSError as error:
        raise DataError.unreadable(Path(error.filename or "The data"), error) from error


def _expanded(data: config.Data) -> config.Data:
    paths = {name: expanded(value) for name, value in data if isinstance(value, Path)}
    return data.model_copy(update=paths)


def _load(data: config.Data) -> Dataset:
    match data:
        case config.Digits():
            return digits.load_digits(data)
        case config.NpzFile():
            return npz.load_npz(data)
        case config.IdxFiles():
            return idx.load_idx(data)
        case config.Cifar10() | config.Cifar100():
            return cifar.load_cifar(data)
        case config.ImageFolder():
            return folder.load_folder(data)


def _describe(data: config.Data) -> tuple[tuple[int, int, int], int]:
    match data:
        case config.Digits():
            check_take(data, digits.PLACE, digits.TRAIN_IMAGES)
            return digits.IN_SHAPE, digits.CLASSES
        case config.NpzFile():
            return npz.in_shape_and_classes(data)
        case config.IdxFiles():
            return idx.in_shape_and_classes(data)
        case config.Cifar10() | config.Cifar100():
            return cifar.in_shape_and_classes(data)
        case config.ImageFolder():
            return folder.in_shape_and_classes(data)


def usual_shape(data: config.Data) -> tuple[tuple[int, int, int], int] | None:
    """Return what ``describe`` would for the usual files of a source, without reading any.

    An image folder is taken to have ImageNet's 1,000 classes. None for the user's own arrays.
    """
    match data:
        case config.Digits():
            return digits.IN_SHAPE, digits.CLASSES
        case config.IdxFiles():
            return (1, 28, 28), idx.CLASSES.get(data.emnist, 10)
        case config.Cifar10() | config.Cifar100():
            return cifar.IN_SHAPE, cifar.class_count(data)
        case config.ImageFolder():
            return (3, data.size, data.size), 1000
        case config.NpzFile():
            return None
