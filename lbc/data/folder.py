"""Image files in ImageNet's layout, ``train/CLASS/*`` and ``val/CLASS/*``, read on demand."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lbc import config
from lbc.data.dataset import Crop, DataError, Dataset
from lbc.data.image_file import decode, endings, opened, orientation
from lbc.data.labels import Array
from lbc.data.selection import select_splits

TEST_FOLDERS = ("val", "test")
"""Names for the folder of the test split, in order of preference."""

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's training images, for pixels of 0 … 1; the values that all common recipes use."""

SIDECARS = (".csv", ".json", ".md", ".txt", ".xml", ".yaml", ".yml")
"""Endings of files that may lie beside images; others, which may be meant as images, are errors."""

SYSTEM_NAMES = ("Thumbs.db", "desktop.ini", "__MACOSX", "@eaDir")
"""Made by operating systems, and ignored like hidden files."""

OPENED_FIRST = 10_000
"""Images of a split that are opened before training; of more, that many at equal distances."""

NAMED = 5
"""Most files that a sentence names."""

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

    def select(self, rows: Tensor) -> ImageFiles:
        return replace(self, names=self.names[rows.numpy()], labels=self.labels[rows])

    def read(self, rows: Tensor, crop: Crop | None = None) -> Tensor:
        images = torch.empty(len(rows), 3, self.size, self.size, dtype=torch.uint8)
        for index, row in enumerate(rows.tolist()):
            path = self.root / os.fsdecode(self.names[row])
            images[index] = torch.from_numpy(self._read_file(path, index, crop)).permute(2, 0, 1)
        return images

    def _read_file(self, path: Path, index: int, crop: Crop | None) -> Array:
        """Read one image, uint8 (size, size, 3)."""
        with opened(path) as file:
            image = decode(file)
            box = self._crop_box(image.size, index, crop)
            size = (self.size, self.size)
            return np.array(image.resize(size, RESAMPLING[self.interpolation], box))

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

    Raises DataError, which names the folder or file, also for images that cannot be opened.
    """
    splits = _splits(source)
    classes = _class_names(splits[0])
    ignored: list[str] = []
    whole, load_test = (partial(_image_files, source, split, classes, ignored) for split in splits)
    train, test = select_splits(source, splits[0], whole(), load_test)
    mean, std = (torch.tensor(values)[:, None, None] * 255 for values in (MEAN, STD))
    notes = [*_turned(train), *_turned(test)]
    if ignored:
        notes.append(f"Ignored in {source.folder}, as no images: {_some(ignored)}.")
    return Dataset(
        source.folder.resolve().name,
        train,
        test,
        len(classes),
        (3, source.size, source.size),
        mean,
        std,
        tuple(notes),
    )


def in_shape_and_classes(source: config.ImageFolder) -> tuple[tuple[int, int, int], int]:
    """Return the image shape (channels, height, width) and number of classes.

    Reads only folder names. Raises DataError like ``load_folder``.
    """
    train, _ = _splits(source)
    return (3, source.size, source.size), len(_class_names(train))


def _splits(source: config.ImageFolder) -> tuple[Path, Path]:
    train = source.folder / "train"
    if source.test_share and train.is_dir():
        return train, train
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


def _image_files(
    source: config.ImageFolder, split: Path, classes: list[str], ignored: list[str]
) -> ImageFiles:
    found = _class_names(split)
    for name in found:
        if name not in classes:
            raise DataError(
                f"{split / name} is a class that {source.folder / 'train'} does not have: add "
                f"training images of it, or remove it."
            )
    if stray := [file for file in _list_names(split) if file.lower().endswith(endings())]:
        raise DataError(f"{split} has images in no class ({_some(stray)}): move them into one.")
    names: list[bytes] = []
    labels: list[int] = []
    wrong: list[str] = []
    for name in found:
        count = len(names)
        for file in _list_names(split / name):
            if file.lower().endswith(endings()):
                names.append(os.fsencode(f"{name}/{file}"))
            elif Path(file).suffix.lower() in ("", *SIDECARS):
                ignored.append(f"{split.name}/{name}/{file}")
            else:
                wrong.append(f"{name}/{file}")
        ignored += [f"{split.name}/{name}/{one}/" for one in _list_names(split / name, True)]
        if len(names) == count and not wrong:
            raise DataError(f"{split / name} has no images: add some, or remove the folder.")
        labels += [classes.index(name)] * (len(names) - count)
    if wrong:
        raise DataError(f"{split} has files that are no images ({_some(wrong)}): remove them.")
    return ImageFiles(
        split, np.array(names), torch.tensor(labels), source.size, source.resize,
        source.interpolation,
    )  # fmt: skip


def _turned(files: ImageFiles) -> list[str]:
    """Open the images; return a note if some are to be turned. Raises DataError for unusable ones.

    Only headers are read: whether an image is cut off shows when it is used.
    """
    total, turned = len(files.names), 0
    problems: list[DataError] = []
    rows = range(total) if total <= OPENED_FIRST else np.linspace(0, total - 1, OPENED_FIRST)
    for row in rows:
        try:
            with opened(files.root / os.fsdecode(files.names[int(row)])) as image:
                if image.format != "PNG" or "exif" in image.info:
                    turned += orientation(image) > 1
        except DataError as error:
            problems.append(error)
    if problems:
        more = f" {len(problems) - 1:,} more cannot be used." if len(problems) > 1 else ""
        raise DataError(f"{problems[0]}{more}")
    of = f"{total:,}" if total <= OPENED_FIRST else f"{OPENED_FIRST:,} examined"
    note = f"Turned upright, as their EXIF orientation says: {turned:,} of {of} images in"
    return [f"{note} {files.root}."] if turned else []


def _some(names: list[str]) -> str:
    """The first names and how many more there are."""
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _list_names(folder: Path, folders: bool = False) -> list[str]:
    """The sorted names of the files or folders in a folder, without hidden and system ones."""
    try:
        with os.scandir(folder) as entries:
            names = (entry.name for entry in entries if entry.is_dir() == folders)
            return sorted(
                name for name in names if not name.startswith(".") and name not in SYSTEM_NAMES
            )
    except OSError as error:
        raise DataError.unreadable(folder, error) from error
