"""What is changed at random in the images that are trained on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lbc import config
from lbc.data.augmentation.colour import color_jitter, lighting
from lbc.data.augmentation.crop import flip, pad_crop, resized_crop
from lbc.data.augmentation.draws import Draws, Share
from lbc.data.augmentation.erasing import erase
from lbc.data.augmentation.mix import mix, whole_pairs
from lbc.data.augmentation.rand_augment import rand_augment
from lbc.data.dataset import DataError, Dataset

__all__ = ["Augmentation", "Draws", "Share", "check_augmentation"]


@dataclass(frozen=True, eq=False)
class Augmentation:
    """What ``settings`` ask for, in their order: crop, flip, colours, noise, mixing."""

    settings: config.Augment
    data: Dataset

    @property
    def mixes(self) -> bool:
        """Whether images are mixed, so that labels become shares of classes."""
        return bool(self.settings.mixup or self.settings.cutmix)

    def batch(self, order: Tensor, share: Share, seed: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """A process's share of the batch of the rows ``order``, changed and normalised.

        Images float32 (b, channels, H, W); labels int64 (b,), or float32 (b, classes) where images
        are mixed. Raises DataError where a picture cannot be read.
        """
        needed = whole_pairs(share) if self.mixes else share
        draws = Draws(seed, needed)
        rows = order[needed.first : needed.last]
        images = self._normalised(self._read(rows, draws), draws)
        labels = self.data.train.labels[rows]
        if not self.mixes:
            return images, labels
        asked = self.settings
        images, shares = mix(images, labels, self.data.classes, asked.mixup, asked.cutmix, draws)
        mine = slice(share.first - needed.first, share.last - needed.first)
        return images[mine], shares[mine]

    def _read(self, rows: Tensor, draws: Draws) -> Tensor:
        asked = self.settings
        if asked.crop == "resized":
            images = self.data.train.read(rows, resized_crop(asked.smallest_area, draws))
        else:
            images = self.data.train.read(rows)
        if asked.crop == "pad":
            images = pad_crop(images, asked.padding, draws)
        return flip(images, draws) if asked.flip else images

    def _normalised(self, images: Tensor, draws: Draws) -> Tensor:
        asked = self.settings
        if asked.rand_augment:
            fill = self.data.mean.flatten()
            images = rand_augment(images, asked.rand_augment, asked.rand_augment_std, fill, draws)
        if asked.color_jitter:
            images = color_jitter(images, asked.color_jitter, draws)
        if asked.lighting:
            images = lighting(images, asked.lighting, draws)
        images = self.data.normalised(images)
        return erase(images, asked.erasing, draws) if asked.erasing else images


def check_augmentation(settings: config.Augment, data: Dataset) -> None:
    """Raise DataError where the pictures are not of a kind that ``settings`` can change."""
    coloured = {
        "rand_augment": settings.rand_augment,
        "color_jitter": settings.color_jitter,
        "lighting": settings.lighting,
    }
    wanted = [name for name, amount in coloured.items() if amount]
    if not wanted:
        return
    image = data.train.read(torch.tensor([0]))
    channels = image.shape[1]
    if image.dtype != torch.uint8:
        raise DataError(
            f"data.augment.{wanted[0]} needs pixels of 0 to 255, and those of {data.name} are "
            f"other numbers: save them as uint8, or set it to 0."
        )
    fit = (3,) if settings.lighting else (1, 3)
    if channels not in fit:
        raise DataError(
            f"data.augment.{wanted[-1]} needs {' or '.join(map(str, fit))} channels, and the "
            f"images of {data.name} have {channels}: set it to 0."
        )
