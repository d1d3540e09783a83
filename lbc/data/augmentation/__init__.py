"""Data augmentation: random transforms of the training images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lbc import config
from lbc.data.augmentation.colour import color_jitter, lighting
from lbc.data.augmentation.crop import flip, pad_crop, resized_crop
from lbc.data.augmentation.draws import Draws, Share
from lbc.data.augmentation.erasing import erase
from lbc.data.augmentation.mix import extend_to_pairs, mix
from lbc.data.augmentation.rand_augment import rand_augment
from lbc.data.dataset import DataError, Dataset

__all__ = ["Augmentation", "Draws", "Share", "check_augmentation"]


@dataclass(frozen=True, eq=False)
class Augmentation:
    """Applies the transforms in this order: crop, flip, colours, noise, mixing."""

    settings: config.Augment
    data: Dataset

    @property
    def mixes(self) -> bool:
        """True if images are mixed, so that labels become class probabilities."""
        return bool(self.settings.mixup or self.settings.cutmix)

    def batch(self, order: Tensor, share: Share, seed: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Read, augment and normalise one process's share of the batch with rows ``order``.

        Returns images, float32 (b, channels, H, W), and labels: int64 (b,), or float32
        (b, classes) if images are mixed. Raises DataError if an image cannot be read.
        """
        needed = extend_to_pairs(share) if self.mixes else share
        draws = Draws(seed, needed)
        rows = order[needed.first : needed.last]
        images = self._normalise(self._read(rows, draws), draws)
        labels = self.data.train.labels[rows]
        if not self.mixes:
            return images, labels
        mixup, cutmix = self.settings.mixup, self.settings.cutmix
        images, targets = mix(images, labels, self.data.classes, mixup, cutmix, draws)
        own = slice(share.first - needed.first, share.last - needed.first)
        return images[own], targets[own]

    def _read(self, rows: Tensor, draws: Draws) -> Tensor:
        settings = self.settings
        if settings.crop == "resized":
            images = self.data.train.read(rows, resized_crop(settings.smallest_area, draws))
        else:
            images = self.data.train.read(rows)
        if settings.crop == "pad":
            images = pad_crop(images, settings.padding, draws)
        return flip(images, draws) if settings.flip else images

    def _normalise(self, images: Tensor, draws: Draws) -> Tensor:
        settings = self.settings
        if settings.rand_augment:
            fill, std = self.data.mean.flatten(), settings.rand_augment_std
            images = rand_augment(images, settings.rand_augment, std, fill, draws)
        if settings.color_jitter:
            images = color_jitter(images, settings.color_jitter, draws)
        if settings.lighting:
            images = lighting(images, settings.lighting, draws)
        images = self.data.normalise(images)
        return erase(images, settings.erasing, draws) if settings.erasing else images


def check_augmentation(settings: config.Augment, data: Dataset) -> None:
    """Raise DataError if the images do not support the transforms in ``settings``."""
    colour_transforms = {
        "rand_augment": settings.rand_augment,
        "color_jitter": settings.color_jitter,
        "lighting": settings.lighting,
    }
    enabled = [name for name, amount in colour_transforms.items() if amount]
    if not enabled:
        return
    image = data.train.read(torch.tensor([0]))
    channels = image.shape[1]
    if image.dtype != torch.uint8:
        raise DataError(
            f"data.augment.{enabled[0]} needs uint8 pixels (0 to 255), but the images of "
            f"{data.name} are not uint8: save them as uint8, or set it to 0."
        )
    supported = (3,) if settings.lighting else (1, 3)
    if channels not in supported:
        raise DataError(
            f"data.augment.{enabled[-1]} needs {' or '.join(map(str, supported))} channels, but "
            f"the images of {data.name} have {channels}: set it to 0."
        )
