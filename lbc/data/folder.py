"""Image files in ImageNet's layout, ``train/CLASS/*`` and ``val/CLASS/*``, read on demand."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from lbc import config
from lbc.data.dataset import Crop, DataError, Dataset
from lbc.data.labels import Array

TEST_FOLDERS = ("val", "test")
"""Names for the folder of the test split, in order of preference."""

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's training images, for pixels of 0 … 1; the values that all common recipes use."""

DEEP_MODES = ("I", "F")
"""Prefixes of Pillow's modes with more than 8 bits per channel, which conversion would clip."""

RESAMPLING = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """Image files below ``root``, read as RGB images of ``size`` × ``size``.

    ``names`` are paths relative to ``root``, as a bytes array (B,), because a list of a million
    strings would be copied to every worker process. Without a crop function, reads a centre crop
    after resizing the shorter side to ``resize``.
    """

    root: Path
    names: Array
    labels: Tensor
    size: int
    resize: int
    interpolation: str

    def read(self, rows: Tensor, crop: Crop | None = None) -> Tensor:
        images = torch.empty(len(rows), 3, self.size, self.size, dtype=torch.uint8)
        for index, row in enumerate(rows.tolist()):
            path = self.root / os.fsdecode(self.names[row])
            images[index] = torch.from_numpy(self._read_file(path, index, crop)).permute(2, 0, 1)
        return images

    def _read_file(self, path: Path, index: int, crop: Crop | None) -> Array:
        """Read one image, uint8 (size, size, 3)."""
        try:
            with Image.open(path, formats=_formats()) as image:
                if image.mode.startswith(DEEP_MODES):
                    raise DataError(
                        f"{path} has more than 8 bits per channel (Pillow mode {image.mode}), "
                        f"which is not supported: save it with 8 bits."
                    )
                box = self._crop_box(image.size, index, crop)
                resized = _to_rgb(image).resize(
                    (self.size, self.size), RESAMPLING[self.interpolation], box
                )
                return np.array(resized)
        except DataError:
            raise
        except FileNotFoundError as error:
            raise DataError(f"{path} is missing: restore it, or start a new run.") from error
        except UnidentifiedImageError as error:
            raise DataError(f"{path} is not an image: replace or remove it.") from error
        except Exception as error:  # every decoder raises its own exceptions
            reason = str(error).partition("\n")[0].rstrip(".") or type(error).__name__
            raise DataError(f"{path} is damaged ({reason}): replace or remove it.") from error

    def _crop_box(
        self, image_size: tuple[int, int], index: int, crop: Crop | None
    ) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of the crop."""
        width, height = image_size
        if crop is not None:
            box = crop(index, height, width)
            return box.left, box.top, box.left + box.width, box.top + box.height
        side = min(width, height) * self.size / self.resize
        left, top = (width - side) / 2, (height - side) / 2
        return left, top, left + side, top + side


def load_folder(source: config.ImageFolder) -> Dataset:
    """List the files and classes of both splits; images are read later.

    Classes are the folders in ``train``, sorted by name; files are sorted by class and name, so
    that the order is the same on every machine.

    Raises DataError, which names the folder or file.
    """
    train, test = _splits(source)
    classes = _class_names(train)
    mean, std = (torch.tensor(values)[:, None, None] * 255 for values in (MEAN, STD))
    return Dataset(
        source.folder.resolve().name,
        _image_files(source, train, classes),
        _image_files(source, test, classes),
        len(classes),
        (3, source.size, source.size),
        mean,
        std,
    )


def in_shape_and_classes(source: config.ImageFolder) -> tuple[tuple[int, int, int], int]:
    """Return the image shape (channels, height, width) and number of classes.

    Reads only folder names. Raises DataError like ``load_folder``.
    """
    train, _ = _splits(source)
    return (3, source.size, source.size), len(_class_names(train))


def _splits(source: config.ImageFolder) -> tuple[Path, Path]:
    train = source.folder / "train"
    for test in (source.folder / name for name in TEST_FOLDERS):
        if train.is_dir() and test.is_dir():
            return train, test
    missing = "train" if not train.is_dir() else "val"
    raise DataError(
        f"{source.folder} has no folder {missing}: put the images into train/CLASS/ and "
        f"val/CLASS/ there."
    )


def _class_names(split: Path) -> list[str]:
    names = _list_names(split, folders=True)
    if len(names) < 2:
        raise DataError(
            f"{split} has {len(names)} class folder(s), but training needs at least two: put the "
            f"images of each class into a folder of its own there."
        )
    return names


def _image_files(source: config.ImageFolder, split: Path, classes: list[str]) -> ImageFiles:
    endings = tuple(Image.registered_extensions())
    found = _class_names(split)
    for name in found:
        if name not in classes:
            raise DataError(
                f"{split / name} is a class that {source.folder / 'train'} does not have: add "
                f"training images of it, or remove it."
            )
    names: list[bytes] = []
    labels: list[int] = []
    for name in found:
        files = [file for file in _list_names(split / name) if file.lower().endswith(endings)]
        if not files:
            raise DataError(f"{split / name} has no images: add some, or remove the folder.")
        names += [os.fsencode(f"{name}/{file}") for file in files]
        labels += [classes.index(name)] * len(files)
    return ImageFiles(
        split, np.array(names), torch.tensor(labels), source.size, source.resize,
        source.interpolation,
    )  # fmt: skip


def _list_names(folder: Path, folders: bool = False) -> list[str]:
    """The sorted names of the files or folders in a folder, without hidden ones."""
    try:
        with os.scandir(folder) as entries:
            names = (entry.name for entry in entries if entry.is_dir() == folders)
            return sorted(name for name in names if not name.startswith("."))
    except OSError as error:
        raise DataError.unreadable(folder, error) from error


def _formats() -> list[str]:
    """All formats of Pillow except EPS, which is a program that Ghostscript would run."""
    Image.init()
    return [name for name in Image.ID if name != "EPS"]


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # avoids a warning of Pillow
    return image.convert("RGB")
