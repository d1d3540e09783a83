"""Random crops and flips."""

from __future__ import annotations

from math import exp, log, sqrt

import torch
import torch.nn.functional as F
from torch import Tensor

from lbc.data.augmentation.draws import Draws
from lbc.data.dataset import Box, Crop

ATTEMPTS = 10
NARROWEST, WIDEST = 3 / 4, 4 / 3


def pad_crop(images: Tensor, padding: int, draws: Draws) -> Tensor:
    """Pad images (b, channels, H, W) with zeros on all sides, then crop to the original size."""
    height, width = images.shape[2:]
    padded = F.pad(images, [padding] * 4)
    offsets = (draws.uniform(2) * (2 * padding + 1)).long()
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)
    return windows[torch.arange(len(images)), :, offsets[:, 0], offsets[:, 1]]


def flip(images: Tensor, draws: Draws) -> Tensor:
    """Flip each image (b, channels, H, W) horizontally with probability 1/2."""
    flipped = draws.uniform() < 0.5
    return torch.where(flipped[:, None, None, None], images.flip(3), images)


def resized_crop(smallest_area: float, draws: Draws) -> Crop:
    """Crop a fraction of the area, ``smallest_area`` … 1, with aspect ratio 3:4 … 4:3.

    As for the Inception networks (Szegedy et al., 2015): up to ten attempts, then a centre crop.
    """
    uniform = draws.uniform(ATTEMPTS, 4).tolist()

    def crop(index: int, height: int, width: int) -> Box:
        return _first_fit(uniform[index], smallest_area, height, width)

    return crop


def _first_fit(attempts: list[list[float]], smallest: float, height: int, width: int) -> Box:
    for area_draw, ratio_draw, top_draw, left_draw in attempts:
        area = height * width * (smallest + area_draw * (1 - smallest))
        ratio = exp(log(NARROWEST) + ratio_draw * log(WIDEST / NARROWEST))
        w, h = round(sqrt(area * ratio)), round(sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            return Box(int(top_draw * (height - h + 1)), int(left_draw * (width - w + 1)), h, w)
    h, w = min(height, round(width / NARROWEST)), min(width, round(height * WIDEST))
    return Box((height - h) // 2, (width - w) // 2, h, w)
