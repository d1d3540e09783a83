"""The user's own images: a NumPy .npz file with the arrays ``images`` and ``labels``."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lbc import config
from lbc.data.dataset import DataError, Dataset, InMemoryImages, make_dataset
from lbc.data.labels import Array, count_classes
from lbc.data.selection import check_take, select_splits
from lbc.files.memory import physical_memory
from lbc.files.small_file import open_regular


def load_npz(source: config.NpzFile) -> Dataset:
    """Read ``images`` (B, H, W) or (B, H, W, channels) and ``labels`` (B,) and split them.

    Images may have any numeric scale; labels are integers numbered from 0, so that there are
    max(labels) + 1 classes. Nothing in the file is executed.

    Raises DataError for any other file.
    """
    path = source.file
    images, labels = read_arrays(path)
    classes = count_classes(path, labels)
    check_images(path, images)
    if len(images) != len(labels):
        raise DataError(
            f"{path} has {len(images)} images but {len(labels)} labels: store one label per image."
        )
    whole = InMemoryImages(
        torch.from_numpy(channels_first(path, images)), torch.from_numpy(labels.astype(np.int64))
    )
    # test_share is above 0, so that the file needs no test images of its own.
    return make_dataset(path.stem, *select_splits(source, path, whole, lambda: whole), classes)


def in_shape_and_classes(source: config.NpzFile) -> tuple[tuple[int, int, int], int]:
    """Return the image shape (channels, height, width) and number of classes.

    Reads only the header of ``images``, and ``labels``. Raises DataError for what they show.
    """
    path = source.file
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            with archive.open("images.npy") as header:
                version = np.lib.format.read_magic(header)
                # Version 2 only has a wider length field; numeric arrays never need version 3.
                read = (
                    np.lib.format.read_array_header_1_0
                    if version == (1, 0)
                    else np.lib.format.read_array_header_2_0
                )
                shape, _, dtype = read(header)
            labels = read_array(archive, "labels")
    except Exception as error:  # see read_arrays
        raise explain_read_error(path, error) from error
    check_layout(path, shape, dtype)
    check_take(source, path, len(labels))
    height, width, channels = (*shape[1:], 1)[:3]
    return (channels, height, width), count_classes(path, labels)


def read_arrays(path: Path) -> tuple[Array, Array]:
    """Read the two arrays as stored. Raises DataError if they cannot be read."""
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            return read_array(archive, "images"), read_array(archive, "labels")
    except Exception as error:  # zipfile, zlib and numpy each raise their own for a damaged file
        raise explain_read_error(path, error) from error


def read_array(archive: zipfile.ZipFile, name: str) -> Array:
    """Read one array of an .npz file. Raises an exception, of any type, if it is damaged.

    Raises MemoryError for one that is larger than this machine's memory, before it is unpacked.
    """
    if archive.getinfo(f"{name}.npy").file_size > physical_memory():
        raise MemoryError
    with archive.open(f"{name}.npy") as file:
        array: Array = np.lib.format.read_array(file, allow_pickle=False)
        # The checksum is verified at the end, which a damaged header may place too early.
        if file.read(1):
            raise ValueError(f"{name} is longer than its header says")
        return array


def explain_read_error(path: Path, error: Exception) -> DataError:
    """The DataError for a file that could not be read as two numeric arrays."""
    expected = "it needs arrays 'images' and 'labels' saved by numpy.savez"
    if isinstance(error, FileNotFoundError):
        return DataError(f"{path} does not exist: check the path of the data file.")
    if isinstance(error, OSError) and error.strerror:
        return DataError.unreadable(path, error)
    if isinstance(error, MemoryError):
        return DataError(f"{path} does not fit into memory: use fewer images.")
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            names = {name.removesuffix(".npy") for name in archive.namelist()}
    except Exception:  # as in read_arrays
        return DataError(f"{path} is truncated or not an .npz file: {expected}.")
    for key in ("images", "labels"):
        if key not in names:
            found = ", ".join(sorted(names)[:8]) or "nothing"
            return DataError(f"{path} has no array '{key}' (it has {found}): {expected}.")
    if "allow_pickle" in str(error):
        return DataError(
            f"{path} contains Python objects, which are never loaded because they can run code: "
            f"save images and labels as numeric arrays."
        )
    return DataError(f"{path} is damaged ({type(error).__name__}): save or copy it again.")


def check_layout(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Raise DataError unless the shape and type are those of greyscale or colour images."""
    if dtype.hasobject:
        raise explain_read_error(path, ValueError("allow_pickle=False"))
    if dtype.kind not in "buif":
        raise DataError(f"The images in {path} are of type {dtype}: save them as uint8 or float32.")
    if len(shape) not in (3, 4):
        raise DataError(
            f"The images in {path} have shape {shape}: they must be (images, height, width) or "
            f"(images, height, width, channels)."
        )
    if 0 in shape:
        raise DataError(f"{path} is empty: its images have shape {shape}.")
    # (B, 3, 64, 64) would be read as 3 × 64 images with 64 channels.
    if len(shape) == 4 and shape[1] in (1, 3) and shape[2] == shape[3] > shape[1]:
        raise DataError(
            f"The images in {path} have shape {shape}, which looks like channels before height "
            f"and width: transpose them to (images, height, width, channels)."
        )


def check_images(path: Path, images: Array) -> None:
    """Raise DataError unless the images are finite numbers in a supported layout."""
    check_layout(path, images.shape, images.dtype)
    if images.dtype.kind == "f":
        # The squares of larger values would overflow float32 in the statistics.
        bad = ~(np.abs(images) <= np.sqrt(np.finfo(np.float32).max)).reshape(len(images), -1)
        if bad.any():
            raise DataError(
                f"{path} has NaN, infinite or extremely large pixels, first in image "
                f"{int(bad.any(axis=1).argmax())}: correct the images."
            )


def channels_first(path: Path, images: Array) -> Array:
    """(B, H, W) or (B, H, W, channels) → (B, channels, H, W), as uint8 or float32."""
    ordered = images[:, None] if images.ndim == 3 else np.moveaxis(images, 3, 1)
    kept = ordered if ordered.dtype == np.uint8 else ordered.astype(np.float32)
    try:
        return np.ascontiguousarray(kept)
    except MemoryError as error:
        raise explain_read_error(path, error) from error
