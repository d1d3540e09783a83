"""IDX files, the format of MNIST, Fashion-MNIST, KMNIST and EMNIST.

A file consists of two zero bytes, the data type, the number of dimensions, the size of each
dimension in 4 bytes, big-endian, and then the data (http://yann.lecun.com/exdb/mnist).
"""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path

import numpy as np
import torch

from lbc import config
from lbc.data.dataset import DataError, Dataset, InMemoryImages, make_dataset
from lbc.data.labels import Array, check_range, count_classes
from lbc.data.selection import check_take, select_splits
from lbc.files.small_file import open_regular

UNSIGNED_BYTE = 8
MAX_GZIP_RATIO = 1100
"""Upper bound of the compression ratio of a .gz file."""

CLASSES = {"balanced": 47, "bymerge": 47, "byclass": 62, "letters": 27}
"""Largest label + 1 in the splits of EMNIST that have not 10 classes; letters count from 1."""

REMEDY = "copy or download the file again"


def load_idx(source: config.IdxFiles) -> Dataset:
    """Load the training and test files in a folder, which may be gzipped.

    Raises DataError, which names the file.
    """
    name = source.folder.name if source.emnist == "none" else f"emnist-{source.emnist}"
    whole, classes = _split(source, "train")
    train, test = select_splits(
        source, source.folder, whole, lambda: _split(source, "test", classes)[0]
    )
    if train.images.shape[1:] != test.images.shape[1:]:
        shapes = ["×".join(map(str, part.images.shape[2:])) for part in (train, test)]
        raise DataError(
            f"In {source.folder} the training images are {shapes[0]} but the test images are "
            f"{shapes[1]}: use files of the same data set."
        )
    return make_dataset(name, train, test, classes)


def in_shape_and_classes(source: config.IdxFiles) -> tuple[tuple[int, int, int], int]:
    """Return the image shape (channels, height, width) and number of classes.

    Reads only the image header and the labels. Raises DataError like ``load_idx``.
    """
    path, labels = _labels(source, "train")
    images = _find(source, "train", "images", 3)
    with _open(images) as file:
        _, height, width = _read_header(images, file, 3)
    shape = (1, width, height) if source.emnist != "none" else (1, height, width)
    check_take(source, source.folder, len(labels))
    return shape, count_classes(path, labels)


def read_idx(path: Path, dimensions: int) -> Array:
    """Read a uint8 array with ``dimensions`` axes. Raises DataError for any other file."""
    with _open(path) as file:
        shape = _read_header(path, file, dimensions)
        expected = math.prod(shape)
        limit = path.stat().st_size * (MAX_GZIP_RATIO if path.suffix == ".gz" else 1)
        data = file.read(min(expected, limit) + 1)
    if len(data) != expected:
        actual = f"only {len(data):,}" if len(data) < expected else "more"
        raise DataError(
            f"{path} is damaged: its header states {'×'.join(map(str, shape))} = {expected:,} "
            f"bytes, but it has {actual}: {REMEDY}."
        )
    return np.frombuffer(data, np.uint8).reshape(shape)


def _split(
    source: config.IdxFiles, split: str, classes: int | None = None
) -> tuple[InMemoryImages, int]:
    path, labels = _labels(source, split)
    if classes is None:
        classes = count_classes(path, labels)
    check_range(path, labels, classes)
    images_path = _find(source, split, "images", 3)
    images = read_idx(images_path, 3)
    if len(images) != len(labels):
        raise DataError(
            f"{images_path} has {len(images)} images but {path} has {len(labels)} labels: use "
            f"files of the same data set."
        )
    if 0 in images.shape:
        raise DataError(f"{images_path} is empty: its images have shape {images.shape}.")
    if source.emnist != "none":
        images = images.swapaxes(1, 2)  # EMNIST stores images transposed
    pixels = torch.from_numpy(np.array(images[:, None]))
    return InMemoryImages(pixels, torch.from_numpy(labels.astype(np.int64))), classes


def _labels(source: config.IdxFiles, split: str) -> tuple[Path, Array]:
    path = _find(source, split, "labels", 1)
    labels = read_idx(path, 1)
    if source.emnist != "letters":
        return path, labels
    if len(labels) and not labels.min():
        raise DataError(f"{path} has the label 0, but letters are numbered from 1: {REMEDY}.")
    return path, labels - np.uint8(1)


def _find(source: config.IdxFiles, split: str, what: str, dimensions: int) -> Path:
    if source.emnist == "none":
        stem = f"{'train' if split == 'train' else 't10k'}-{what}"
    else:
        stem = f"emnist-{source.emnist}-{split}-{what}"
    name = f"{stem}-idx{dimensions}-ubyte"
    for folder in (source.folder, source.folder / "raw", source.folder / "gzip"):
        for found in (name, f"{stem}.idx{dimensions}-ubyte"):
            for path in (folder / found, folder / f"{found}.gz"):
                if path.is_file():
                    return path
    if not source.folder.is_dir():
        raise DataError(
            f"{source.folder} is not a folder: choose the folder of the IDX files, or run lbc data "
            f"download."
        )
    hint = ""
    if source.emnist == "none" and any(source.folder.rglob("emnist-*")):
        hint = "; the folder has EMNIST files, whose split is selected by data.emnist"
    raise DataError(
        f"{source.folder} has neither {name} nor {name}.gz: put the four IDX files there, or run "
        f"lbc data download{hint}."
    )


def _read_header(path: Path, file: BufferedIOBase, dimensions: int) -> tuple[int, ...]:
    header = file.read(4 + 4 * dimensions)
    if len(header) < 4 or header[:2] != b"\0\0":
        raise DataError(f"{path} is not an IDX file (it starts with {header[:4]!r}): {REMEDY}.")
    if header[2] != UNSIGNED_BYTE:
        raise DataError(
            f"{path} has data of type 0x{header[2]:02x}, but only unsigned bytes (0x08) are "
            f"supported: save it as uint8."
        )
    if header[3] != dimensions:
        what = "labels" if dimensions == 1 else "images"
        raise DataError(
            f"{path} has {header[3]} dimension(s), but {what} have {dimensions}: check whether "
            f"files were mixed up."
        )
    if len(header) < 4 + 4 * dimensions:
        raise DataError(f"{path} is truncated after {len(header)} bytes: {REMEDY}.")
    return tuple(np.frombuffer(header, ">u4", offset=4).tolist())


@contextmanager
def _open(path: Path) -> Iterator[BufferedIOBase]:
    """Open a file, decompressing .gz. Raises DataError if it cannot be read."""
    try:
        with open_regular(path) as stored:
            if path.suffix != ".gz":
                yield stored
                return
            with gzip.open(stored) as unpacked:
                yield unpacked
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is truncated or not a .gz file ({error}): {REMEDY}.") from error
    except MemoryError as error:
        raise DataError(f"{path} does not fit into memory: {REMEDY}.") from error
    except OSError as error:
        raise DataError.unreadable(path, error) from error
