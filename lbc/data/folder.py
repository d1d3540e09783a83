"""Pictures in ImageNet's layout: ``train/CLASS/*`` and ``val/CLASS/*``, read when asked for."""

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

TESTED = ("val", "test")
"""Folders of the test split; the first that is there is taken."""

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's training pictures, as shares of full brightness; everybody's recipes use them."""

TOO_DEEP = ("I", "F")
"""Beginnings of Pillow's names for pictures of more than 8 bits, which it would clip."""

RESAMPLING = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


@dataclass(frozen=True, eq=False)
class PictureFiles:
    """Pictures that lie below ``root``, as colour images of ``size`` × ``size``.

    ``names`` are their paths in the root, as bytes (B,): an array, because a million strings would
    be copied to every worker process. Without a crop the middle of a picture is taken, as after
    scaling its shorter side to ``resize``.
    """

    root: Path
    names: Array
    labels: Tensor
    size: int
    resize: int
    interpolation: str

    def read(self, rows: Tensor, crop: Crop | None = None) -> Tensor:
        images = torch.empty(len(rows), 3, self.size, self.size, dtype=torch.uint8)
        for number, row in enumerate(rows.tolist()):
            path = self.root / os.fsdecode(self.names[row])
            images[number] = torch.from_numpy(self._picture(path, number, crop)).permute(2, 0, 1)
        return images

    def _picture(self, path: Path, number: int, crop: Crop | None) -> Array:
        """One picture, uint8 (size, size, 3)."""
        try:
            with Image.open(path, formats=_formats()) as picture:
                if picture.mode.startswith(TOO_DEEP):
                    raise DataError(
                        f"{path} has more than 8 bits a channel (Pillow's mode {picture.mode}), "
                        f"which do not fit here: save it with 8."
                    )
                part = self._part(picture, number, crop)
                scaled = _colours(picture).resize(
                    (self.size, self.size), RESAMPLING[self.interpolation], part
                )
                return np.array(scaled)
        except DataError:
            raise
        except FileNotFoundError as error:
            raise DataError(f"{path} is gone: put it back, or begin a new run.") from error
        except UnidentifiedImageError as error:
            raise DataError(
                f"{path} is no picture: remove it, or put the right one there."
            ) from error
        except Exception as error:  # each format's reader fails in its own way
            said = str(error).partition("\n")[0].rstrip(".") or type(error).__name__
            raise DataError(
                f"{path} is a damaged picture ({said}): replace or remove it."
            ) from error

    def _part(
        self, picture: Image.Image, number: int, crop: Crop | None
    ) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of what is taken of a picture."""
        width, height = picture.size
        if crop is not None:
            box = crop(number, height, width)
            return box.left, box.top, box.left + box.width, box.top + box.height
        side = min(width, height) * self.size / self.resize
        left, top = (width - side) / 2, (height - side) / 2
        return left, top, left + side, top + side


def load_folder(source: config.ImageFolder) -> Dataset:
    """Both splits: every picture's name and class; the pictures themselves come later.

    Classes are the folders of ``train`` in the order of their names, and pictures are ordered by
    class and name, the same on every machine.

    Raises DataError with one sentence that names the folder or file.
    """
    train, test = _splits(source)
    classes = _class_names(train)
    mean, std = (torch.tensor(values)[:, None, None] * 255 for values in (MEAN, STD))
    return Dataset(
        source.folder.resolve().name,
        _pictures(source, train, classes),
        _pictures(source, test, classes),
        len(classes),
        (3, source.size, source.size),
        mean,
        std,
    )


def in_shape_and_classes(source: config.ImageFolder) -> tuple[tuple[int, int, int], int]:
    """Channels, height and width of the images and the number of classes, from folders' names.

    Raises DataError as ``load_folder`` does.
    """
    train, _ = _splits(source)
    return (3, source.size, source.size), len(_class_names(train))


def _splits(source: config.ImageFolder) -> tuple[Path, Path]:
    train = source.folder / "train"
    for test in (source.folder / name for name in TESTED):
        if train.is_dir() and test.is_dir():
            return train, test
    missing = "train" if not train.is_dir() else "val"
    raise DataError(
        f"{source.folder} holds no folder {missing}: put the pictures into train/CLASS/ and "
        f"val/CLASS/ there."
    )


def _class_names(split: Path) -> list[str]:
    names = _listed(split, folders=True)
    if len(names) < 2:
        raise DataError(
            f"{split} holds {len(names)} class folder(s), and two are the least that can be told "
            f"apart: put each class's pictures into a folder of its own there."
        )
    return names


def _pictures(source: config.ImageFolder, split: Path, classes: list[str]) -> PictureFiles:
    endings = tuple(Image.registered_extensions())
    found = _class_names(split)
    for name in found:
        if name not in classes:
            raise DataError(
                f"{split / name} is a class that {source.folder / 'train'} does not have: add "
                f"pictures to train on, or remove it."
            )
    names: list[bytes] = []
    labels: list[int] = []
    for name in found:
        pictures = [at for at in _listed(split / name) if at.lower().endswith(endings)]
        if not pictures:
            raise DataError(
                f"{split / name} holds no pictures: put some there, or remove the folder."
            )
        names += [os.fsencode(f"{name}/{picture}") for picture in pictures]
        labels += [classes.index(name)] * len(pictures)
    return PictureFiles(
        split, np.array(names), torch.tensor(labels), source.size, source.resize,
        source.interpolation,
    )  # fmt: skip


def _listed(folder: Path, folders: bool = False) -> list[str]:
    """Names of the files or folders in a folder, sorted, without hidden ones."""
    try:
        with os.scandir(folder) as entries:
            wanted = (entry.name for entry in entries if entry.is_dir() == folders)
            return sorted(name for name in wanted if not name.startswith("."))
    except OSError as error:
        raise DataError(f"{folder} cannot be read ({error.strerror or error}).") from error


def _formats() -> list[str]:
    """Every format Pillow reads but EPS, which is a program that Ghostscript would run."""
    Image.init()
    return [name for name in Image.ID if name != "EPS"]


def _colours(picture: Image.Image) -> Image.Image:
    if picture.mode == "P" and "transparency" in picture.info:
        picture = picture.convert("RGBA")  # Pillow would warn at every such picture
    return picture.convert("RGB")
