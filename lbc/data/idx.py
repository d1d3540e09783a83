"""IDX files, the format of MNIST: Fashion-MNIST and KMNIST have it too, and each part of EMNIST.

A file is two zero bytes, the type of its numbers, the number of dimensions, each dimension as
4 bytes, highest first, and then the numbers (http://yann.lecun.com/exdb/mnist).
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
from lbc.data.dataset import DataError, Dataset, InMemory, in_memory
from lbc.data.labels import Array, check_range, count_classes

UNSIGNED_BYTE = 8
GZIP_AT_BEST = 1100
"""How many bytes one byte of a .gz file can unfold to, at the very most."""

AGAIN = "copy or download the file again"


def load_idx(source: config.IdxFiles) -> Dataset:
    """The training and test files of a folder, as they are or as .gz.

    Raises DataError with one sentence that names the file.
    """
    name = source.folder.name if source.emnist == "none" else f"emnist-{source.emnist}"
    train, classes = _split(source, "train")
    test, _ = _split(source, "test", classes)
    if train.images.shape[1:] != test.images.shape[1:]:
        shapes = ["×".join(map(str, part.images.shape[2:])) for part in (train, test)]
        raise DataError(
            f"The images to train on in {source.folder} are {shapes[0]} and those to test "
            f"{shapes[1]}: put files of the same data set there."
        )
    return in_memory(name, train, test, classes)


def in_shape_and_classes(source: config.IdxFiles) -> tuple[tuple[int, int, int], int]:
    """Channels, height and width of the images and the number of classes, from header and labels.

    Raises DataError as ``load_idx`` does.
    """
    path, labels = _labels(source, "train")
    images = _find(source, "train", "images", 3)
    with _opened(images) as file:
        _, height, width = _read_header(images, file, 3)
    shape = (1, width, height) if source.emnist != "none" else (1, height, width)
    return shape, count_classes(path, labels)


def read_idx(path: Path, dimensions: int) -> Array:
    """The bytes of a file of ``dimensions``, uint8. Raises DataError for any other file."""

    with _opened(path) as file:
        shape = _read_header(path, file, dimensions)
        wanted = math.prod(shape)
        most = path.stat().st_size * (GZIP_AT_BEST if path.suffix == ".gz" else 1)
        data = file.read(min(wanted, most) + 1)
    if len(data) != wanted:
        held = f"only {len(data):,}" if len(data) < wanted else "more"
        raise DataError(
            f"{path} is damaged: its header promises {'×'.join(map(str, shape))} = {wanted:,} "
            f"bytes and it holds {held}: {AGAIN}."
        )
    return np.frombuffer(data, np.uint8).reshape(shape)


def _split(source: config.IdxFiles, split: str, classes: int | None = None) -> tuple[InMemory, int]:
    path, labels = _labels(source, split)
    if classes is None:
        classes = count_classes(path, labels)
    check_range(path, labels, classes)
    images_path = _find(source, split, "images", 3)
    images = read_idx(images_path, 3)
    if len(images) != len(labels):
        raise DataError(
            f"{images_path} holds {len(images)} images but {path} {len(labels)} labels: put files "
            f"that belong together there."
        )
    if 0 in images.shape:
        raise DataError(f"{images_path} is empty: its images have shape {images.shape}.")
    if source.emnist != "none":
        images = images.swapaxes(1, 2)  # EMNIST keeps every image on its side
    pictures = torch.from_numpy(np.array(images[:, None]))
    return InMemory(pictures, torch.from_numpy(labels.astype(np.int64))), classes


def _labels(source: config.IdxFiles, split: str) -> tuple[Path, Array]:
    path = _find(source, split, "labels", 1)
    labels = read_idx(path, 1)
    if source.emnist != "letters":
        return path, labels
    if len(labels) and not labels.min():
        raise DataError(f"{path} holds the label 0, and letters are counted from 1: {AGAIN}.")
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
            f"{source.folder} is no folder: name the one that holds the IDX files, or fetch them "
            f"with lbc data download."
        )
    other = ""
    if source.emnist == "none" and any(source.folder.rglob("emnist-*")):
        other = "; there are files of EMNIST, of which data.emnist chooses a part"
    raise DataError(
        f"{source.folder} holds no {name}, nor a .gz of it: put the four IDX files there, or "
        f"fetch them with lbc data download{other}."
    )


def _read_header(path: Path, file: BufferedIOBase, dimensions: int) -> tuple[int, ...]:
    header = file.read(4 + 4 * dimensions)
    if len(header) < 4 or header[:2] != b"\0\0":
        raise DataError(f"{path} is no IDX file (it begins with {header[:4]!r}): {AGAIN}.")
    if header[2] != UNSIGNED_BYTE:
        raise DataError(
            f"{path} holds numbers of type 0x{header[2]:02x}, and only bytes (0x08) are images or "
            f"labels here: save it as uint8."
        )
    if header[3] != dimensions:
        what = "labels" if dimensions == 1 else "images"
        raise DataError(
            f"{path} has {header[3]} dimension(s), and {what} have {dimensions}: see whether "
            f"files were mixed up."
        )
    if len(header) < 4 + 4 * dimensions:
        raise DataError(f"{path} is cut off after {len(header)} bytes: {AGAIN}.")
    return tuple(np.frombuffer(header, ">u4", offset=4).tolist())


@contextmanager
def _opened(path: Path) -> Iterator[BufferedIOBase]:
    """The file, unfolded where it is a .gz. Raises DataError where it cannot be read."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            yield file
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is cut off or is no .gz file ({error}): {AGAIN}.") from error
    except MemoryError as error:
        raise DataError(f"{path} holds more than fits into memory: {AGAIN}.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}).") from error
