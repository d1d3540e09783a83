"""Parts of images, at random places: shifted in a padded image, or resized."""

from __future__ import annotations

from math import exp, log, sqrt

import torch
import torch.nn.functional as F
from torch import Tensor

from lbc.data.augmentation.draws import Draws
from lbc.data.dataset import Box, Crop

TRIES = 10
NARROWEST, WIDEST = 3 / 4, 4 / 3


def pad_crop(images: Tensor, padding: int, draws: Draws) -> Tensor:
    """Images (b, channels, H, W), each shifted by up to ``padding`` pixels; zeros move in."""
    height, width = images.shape[2:]
    padded = F.pad(images, [padding] * 4)
    places = (draws.uniform(2) * (2 * padding + 1)).long()
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)
    return windows[torch.arange(len(images)), :, places[:, 0], places[:, 1]]


def flip(images: Tensor, draws: Draws) -> Tensor:
    """Each image (b, channels, H, W) mirrored left to right with probability 1/2."""
    mirrored = draws.uniform() < 0.5
    return torch.where(mirrored[:, None, None, None], images.flip(3), images)


def resized_crop(smallest_area: float, draws: Draws) -> Crop:
    """A part of each image, of ``smallest_area`` … 1 of its area and 3:4 … 4:3 in proportion.

    As in the Inception networks (Szegedy et al., 2015): up to ten tries, then the middle.
    """
    drawn = draws.uniform(TRIES, 4).tolist()

    def crop(number: int, height: int, width: int) -> Box:
        return _first_that_fits(drawn[number], smallest_area, height, width)

    return crop


def _first_that_fits(tries: list[list[float]], smallest: float, height: int, width: int) -> Box:
    for area, proportion, down, right in tries:
        wanted = height * width * (smallest + area * (1 - smallest))
        ratio = exp(log(NARROWEST) + proportion * log(WIDEST / NARROWEST))
        w, h = round(sqrt(wanted * ratio)), round(sqrt(wanted / ratio))
        if 0 < w <= width and 0 < h <= height:
            return Box(int(down * (height - h + 1)), int(right * (width - w + 1)), h, w)
    h, w = min(height, round(width / NARROWEST)), min(width, round(height * WIDEST))
    return Box((height - h) // 2, (width - w) // 2, h, w)
