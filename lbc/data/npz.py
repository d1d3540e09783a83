"""A user's own images, from a NumPy .npz file with the arrays ``images`` and ``labels``."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lbc.data.dataset import DataError, Dataset, split_in_two
from lbc.data.labels import Array, count_classes

FEWEST_TO_TRAIN = 2
"""BatchNorm needs two samples in a batch."""


def load_npz(path: Path, test_share: float) -> Dataset:
    """Read ``images`` (B, H, W) or (B, H, W, channels) and ``labels`` (B,) and split them.

    Images are numbers of any scale; labels are integers counted from 0, so there are
    max(labels) + 1 classes. Nothing in the file is ever executed.

    Raises DataError with one sentence for every file that is not that.
    """
    images, labels = read_arrays(path)
    classes = count_classes(path, labels)
    check_images(path, images)
    if len(images) != len(labels):
        raise DataError(
            f"{path} holds {len(images)} images but {len(labels)} labels: give one label an image."
        )
    test = int(len(labels) * test_share)
    if test < 1 or len(labels) - test < FEWEST_TO_TRAIN:
        raise DataError(
            f"{path} holds {len(labels)} images, too few to set {test_share:.0%} aside for "
            f"the test and train on the rest: add images or change the share."
        )
    return split_in_two(
        path.stem,
        torch.from_numpy(channels_first(path, images)),
        torch.from_numpy(labels.astype(np.int64)),
        test_share=test_share,
        classes=classes,
    )


def in_shape_and_classes(path: Path) -> tuple[tuple[int, int, int], int]:
    """Channels, height, width of the images and the number of classes, without reading the images.

    Raises DataError as ``load_npz`` does, for what the header of ``images`` and ``labels`` show.
    """
    try:
        with zipfile.ZipFile(path) as archive, archive.open("images.npy") as header:
            version = np.lib.format.read_magic(header)
            # Version 2 only widens a length field; no numeric array ever needs version 3.
            read = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, _, dtype = read(header)
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            labels = arrays["labels"]
    except Exception as error:  # see read_arrays
        raise unreadable(path, error) from error
    check_layout(path, shape, dtype)
    height, width, channels = (*shape[1:], 1)[:3]
    return (channels, height, width), count_classes(path, labels)


def read_arrays(path: Path) -> tuple[Array, Array]:
    """The two arrays as they are stored. Raises DataError where they cannot be read."""
    try:
        # numpy leaves a file that it opened itself open where it is no archive.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return arrays["images"], arrays["labels"]
    except Exception as error:  # a damaged file fails wherever zipfile, zlib or numpy notice it
        raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception) -> DataError:
    """The sentence for a file that could not be opened as two arrays of numbers."""
    wanted = "arrays 'images' and 'labels' saved by numpy.savez"
    if isinstance(error, FileNotFoundError):
        return DataError(f"{path} does not exist: check the path of the data file.")
    if isinstance(error, OSError) and error.strerror:
        return DataError(f"{path} cannot be read ({error.strerror}).")
    if isinstance(error, MemoryError):
        return DataError(f"{path} claims to hold more than fits into memory: use fewer images.")
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.removesuffix(".npy") for name in archive.namelist()}
    except Exception:  # as in read_arrays
        return DataError(f"{path} is cut off or is no .npz file: it needs {wanted}.")
    for key in ("images", "labels"):
        if key not in names:
            found = ", ".join(sorted(names)[:8]) or "nothing"
            return DataError(f"{path} has no array '{key}' (it holds {found}): it needs {wanted}.")
    if "allow_pickle" in str(error):
        return DataError(
            f"{path} holds Python objects, which are never loaded because they can run code: "
            f"save images and labels as arrays of numbers."
        )
    return DataError(f"{path} is damaged ({type(error).__name__}): save or copy it again.")


def check_layout(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Raises DataError unless the shape and type are those of grey or colour images."""
    if dtype.hasobject:
        raise unreadable(path, ValueError("allow_pickle=False"))
    if dtype.kind not in "buif":
        raise DataError(f"The images in {path} are of type {dtype}: save them as uint8 or float32.")
    if len(shape) not in (3, 4):
        raise DataError(
            f"The images in {path} have shape {shape}: they must be (images, height, width) or "
            f"(images, height, width, channels)."
        )
    if 0 in shape:
        raise DataError(f"{path} is empty: its images have shape {shape}.")
    # (B, 3, 64, 64) would be read as 3 x 64 pictures of 64 channels and train on nonsense.
    if len(shape) == 4 and shape[1] in (1, 3) and shape[2] == shape[3] > shape[1]:
        raise DataError(
            f"The images in {path} have shape {shape}, which looks like channels before height "
            f"and width: transpose them to (images, height, width, channels)."
        )


def check_images(path: Path, images: Array) -> None:
    """Raises DataError unless the images are finite numbers in a known layout."""
    check_layout(path, images.shape, images.dtype)
    if images.dtype.kind == "f":
        # Beyond float32 a value turns infinite, and its square takes the statistics with it.
        bad = ~(np.abs(images) <= np.sqrt(np.finfo(np.float32).max)).reshape(len(images), -1)
        if bad.any():
            raise DataError(
                f"{path} holds NaN, infinite or absurdly large pixels, first in image "
                f"{int(bad.any(axis=1).argmax())}: clean the images."
            )


def channels_first(path: Path, images: Array) -> Array:
    """(B, H, W) or (B, H, W, channels) → (B, channels, H, W), a type torch can hold."""
    ordered = images[:, None] if images.ndim == 3 else np.moveaxis(images, 3, 1)
    kept = ordered if ordered.dtype == np.uint8 else ordered.astype(np.float32)
    try:
        return np.ascontiguousarray(kept)
    except MemoryError as error:
        raise unreadable(path, error) from error
