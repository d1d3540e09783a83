"""Random erasing (Zhong et al., 2020): replaces a rectangle of an image by noise."""

from __future__ import annotations

from math import exp, log, sqrt

import torch
from torch import Tensor

from lbc.data.augmentation.draws import Draws
from lbc.data.dataset import Box

ATTEMPTS = 10
SMALLEST, LARGEST = 0.02, 1 / 3
NARROWEST = 0.3


def erase(images: Tensor, probability: float, draws: Draws) -> Tensor:
    """Erase a rectangle of each normalised image (b, channels, H, W) with ``probability``.

    The rectangle has 2 … 33 % of the area and an aspect ratio of 3:10 … 10:3; the noise is standard
    normal. Works in place.
    """
    selected = (draws.uniform() < probability).tolist()
    attempts, seeds = draws.uniform(ATTEMPTS, 4).tolist(), draws.seeds()
    for index, image in enumerate(images):
        box = _first_fit(attempts[index], *image.shape[1:]) if selected[index] else None
        if box is not None:
            generator = torch.Generator().manual_seed(seeds[index])
            noise = torch.randn(len(image), box.height, box.width, generator=generator)
            image[:, box.top : box.top + box.height, box.left : box.left + box.width] = noise
    return images


def _first_fit(attempts: list[list[float]], height: int, width: int) -> Box | None:
    for area_draw, ratio_draw, top_draw, left_draw in attempts:
        area = height * width * (SMALLEST + area_draw * (LARGEST - SMALLEST))
        ratio = exp((2 * ratio_draw - 1) * log(1 / NARROWEST))
        h, w = round(sqrt(area * ratio)), round(sqrt(area / ratio))
        if 0 < w < width and 0 < h < height:
            return Box(int(top_draw * (height - h + 1)), int(left_draw * (width - w + 1)), h, w)
    return None
