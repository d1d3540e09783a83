"""Data sets: a training and a test split of images, and their normalisation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from lbc.files.os_errors import explain
from lbc.files.printable import SentenceError

STATISTICS_CHUNK = 1024
"""Images per step when computing statistics in float64."""


class DataError(SentenceError):
    """The data cannot be used; the message is one sentence that names the file."""

    @classmethod
    def unreadable(cls, path: Path, error: OSError) -> DataError:
        """For a file or folder that the operating system fails to read."""
        return cls(explain(error, f"{path} cannot be read"))


class TakeError(DataError):
    """``data.take`` asks for more images than there are."""


class Box(NamedTuple):
    """A rectangle within an image, in pixels."""

    top: int
    left: int
    height: int
    width: int


Crop = Callable[[int, int, int], Box]
"""(index in the requested rows, image height, image width) → the box to crop."""


class Images(Protocol):
    """The images of one split, in memory or read on demand."""

    @property
    def labels(self) -> Tensor:
        """int64 (B,), 0 … classes - 1."""

    def select(self, rows: Tensor) -> Self:
        """Return the images of ``rows`` alone, in this order, without reading any."""

    def read(self, rows: Tensor, crop: Crop | None = None) -> Tensor:
        """Return the images of ``rows``, (b, channels, H, W), uint8 or float32, not normalised.

        With ``crop``, returns a crop of each image, resized to H × W. Raises DataError, which names
        the file, if an image cannot be read.
        """


@dataclass(frozen=True, eq=False)
class InMemoryImages:
    """Images (B, channels, H, W), uint8 or float32, with labels (B,)."""

    images: Tensor
    labels: Tensor

    def select(self, rows: Tensor) -> InMemoryImages:
        return InMemoryImages(self.images[rows], self.labels[rows])

    def read(self, rows: Tensor, crop: Crop | None = None) -> Tensor:
        if crop is None:
            return self.images[rows]
        height, width = self.images.shape[2:]
        boxes = [crop(index, height, width) for index in range(len(rows))]
        return torch.cat(
            [_crop_and_resize(self.images[row], box) for row, box in zip(rows, boxes, strict=True)]
        )


@dataclass(frozen=True, eq=False)
class Dataset:
    """A training and a test split of images of ``in_shape`` (channels, height, width).

    ``mean`` and ``std``, float32 (channels, 1, 1), are the statistics that ``normalise`` uses.
    ``notes``: sentences for the log on what was done with the files. ``held_out``: images
    taken from the training set to compare choices on, if a method needs any.
    """

    name: str
    train: Images
    test: Images
    classes: int
    in_shape: tuple[int, int, int]
    mean: Tensor
    std: Tensor
    notes: tuple[str, ...] = ()
    held_out: Images | None = None

    def normalise(self, images: Tensor) -> Tensor:
        """Return (images - mean) / std as float32, for images (b, channels, H, W)."""
        return images.to(torch.float32, copy=True).sub_(self.mean).div_(self.std)


def make_dataset(name: str, train: InMemoryImages, test: InMemoryImages, classes: int) -> Dataset:
    """Create a data set from two splits in memory, with the statistics of the training split."""
    channels, height, width = train.images.shape[1:]
    mean, std = channel_statistics(train.images)
    return Dataset(name, train, test, classes, (channels, height, width), mean, std)


def channel_statistics(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and standard deviation of each channel, float32 (channels, 1, 1).

    The standard deviation of a constant channel is set to 1, to avoid division by 0.
    """
    count = images.numel() // images.shape[1]
    over = (0, 2, 3)
    sums = [part.double().sum(over, keepdim=True) for part in torch.split(images, STATISTICS_CHUNK)]
    mean = torch.stack(sums).sum(0) / count
    squares = [
        (part.double() - mean).square_().sum(over, keepdim=True)
        for part in torch.split(images, STATISTICS_CHUNK)
    ]
    std = (torch.stack(squares).sum(0) / count).sqrt()
    std[std == 0] = 1
    return mean[0].float(), std[0].float()


def _crop_and_resize(image: Tensor, box: Box) -> Tensor:
    """Crop an image (channels, H, W) and resize it to H × W: (1, channels, H, W)."""
    part = image[None, :, box.top : box.top + box.height, box.left : box.left + box.width]
    size = (image.shape[1], image.shape[2])
    resized = F.interpolate(part.float(), size, mode="bilinear", antialias=True)
    return resized.round_().to(image.dtype) if image.dtype == torch.uint8 else resized
