"""A data set: two splits of pictures, and what brings their channels to mean 0 and deviation 1."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

SPLIT_SEED = 0
"""The split never depends on the experiment's seed, so runs of different seeds share their test."""

SLICE = 1024
"""Images whose statistics are added up at a time, in float64."""


class DataError(Exception):
    """The data cannot be used; the message is one sentence that names the file."""


class Box(NamedTuple):
    """A part of a picture, in its pixels."""

    top: int
    left: int
    height: int
    width: int


Crop = Callable[[int, int, int], Box]
"""Which part to take of the i-th of the rows asked for, a picture of some height and width."""


class Pictures(Protocol):
    """One split: pictures by row, in memory or read when they are asked for."""

    @property
    def labels(self) -> Tensor:
        """int64 (B,), 0 … classes - 1."""

    def read(self, rows: Tensor, crop: Crop | None = None) -> Tensor:
        """The pictures of ``rows``, (b, channels, H, W), uint8 or float32, not normalised.

        With ``crop`` a part of each, scaled to the same H × W. Raises DataError that names the
        file of a picture which cannot be read.
        """


@dataclass(frozen=True, eq=False)
class InMemory:
    """Pictures (B, channels, H, W), uint8 or float32, and their labels (B,)."""

    images: Tensor
    labels: Tensor

    def read(self, rows: Tensor, crop: Crop | None = None) -> Tensor:
        if crop is None:
            return self.images[rows]
        height, width = self.images.shape[2:]
        boxes = [crop(number, height, width) for number in range(len(rows))]
        return torch.cat(
            [_part(self.images[row], box) for row, box in zip(rows, boxes, strict=True)]
        )


@dataclass(frozen=True, eq=False)
class Dataset:
    """Two splits of pictures of ``in_shape`` (channels, height, width).

    ``mean`` and ``std``, float32 (channels, 1, 1), are those of the training split: with them
    ``normalised`` gives it mean 0 and standard deviation 1.
    """

    name: str
    train: Pictures
    test: Pictures
    classes: int
    in_shape: tuple[int, int, int]
    mean: Tensor
    std: Tensor

    def normalised(self, images: Tensor) -> Tensor:
        """Images (b, channels, H, W), shifted and scaled, as float32."""
        return images.to(torch.float32, copy=True).sub_(self.mean).div_(self.std)


def in_memory(name: str, train: InMemory, test: InMemory, classes: int) -> Dataset:
    """A data set of two splits in memory, normalised by the first."""
    channels, height, width = train.images.shape[1:]
    mean, std = channel_statistics(train.images)
    return Dataset(name, train, test, classes, (channels, height, width), mean, std)


def split_in_two(
    name: str, images: Tensor, labels: Tensor, test_share: float, classes: int
) -> Dataset:
    """Split images (B, channels, H, W) and labels (B,) into training and test."""
    rows = stratified_split(labels, test_share)
    train, test = (InMemory(images[part], labels[part].long()) for part in rows)
    return in_memory(name, train, test, classes)


def stratified_split(labels: Tensor, test_share: float) -> tuple[Tensor, Tensor]:
    """Indices of the training and of the test samples, ascending: int64 (train,), (test,).

    ⌊B·share⌋ samples are for the test, and of every class its share, to within one sample. The
    same labels always give the same split.
    """
    generator = torch.Generator().manual_seed(SPLIT_SEED)
    shuffled = torch.randperm(len(labels), generator=generator)
    by_class = shuffled[labels[shuffled].argsort(stable=True)]
    # Walking through the classes one after the other, every sample at which position x share
    # passes the next whole number goes to the test.
    passed = (torch.arange(len(labels) + 1, dtype=torch.float64) * test_share).floor()
    in_test = passed.diff() > 0
    return by_class[~in_test].sort().values, by_class[in_test].sort().values


def channel_statistics(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel: float32 (channels, 1, 1) each.

    A channel that is the same everywhere gets standard deviation 1: dividing by 0 would leave NaN.
    """
    count = images.numel() // images.shape[1]
    over = (0, 2, 3)
    sums = [part.double().sum(over, keepdim=True) for part in torch.split(images, SLICE)]
    mean = torch.stack(sums).sum(0) / count
    squares = [
        (part.double() - mean).square_().sum(over, keepdim=True)
        for part in torch.split(images, SLICE)
    ]
    std = (torch.stack(squares).sum(0) / count).sqrt()
    std[std == 0] = 1
    return mean[0].float(), std[0].float()


def _part(image: Tensor, box: Box) -> Tensor:
    """A part of an image (channels, H, W), scaled to its whole size: (1, channels, H, W)."""
    part = image[None, :, box.top : box.top + box.height, box.left : box.left + box.width]
    size = (image.shape[1], image.shape[2])
    scaled = F.interpolate(part.float(), size, mode="bilinear", antialias=True)
    return scaled.round_().to(image.dtype) if image.dtype == torch.uint8 else scaled
