"""Random erasing (Zhong et al., 2020): noise in place of a part of an image."""

from __future__ import annotations

from math import exp, log, sqrt

import torch
from torch import Tensor

from lbc.data.augmentation.draws import Draws
from lbc.data.dataset import Box

TRIES = 10
SMALLEST, LARGEST = 0.02, 1 / 3
NARROWEST = 0.3


def erase(images: Tensor, chance: float, draws: Draws) -> Tensor:
    """Normalised images (b, channels, H, W), changed in place with probability ``chance`` each.

    The part has 2 … 33 % of the area and 3:10 … 10:3 in proportion; the noise is normal.
    """
    chosen = (draws.uniform() < chance).tolist()
    tries, seeds = draws.uniform(TRIES, 4).tolist(), draws.seeds()
    for number, image in enumerate(images):
        box = _first_that_fits(tries[number], *image.shape[1:]) if chosen[number] else None
        if box is not None:
            generator = torch.Generator().manual_seed(seeds[number])
            noise = torch.randn(len(image), box.height, box.width, generator=generator)
            image[:, box.top : box.top + box.height, box.left : box.left + box.width] = noise
    return images


def _first_that_fits(tries: list[list[float]], height: int, width: int) -> Box | None:
    for area, proportion, down, right in tries:
        wanted = height * width * (SMALLEST + area * (LARGEST - SMALLEST))
        ratio = exp((2 * proportion - 1) * log(1 / NARROWEST))
        h, w = round(sqrt(wanted * ratio)), round(sqrt(wanted / ratio))
        if 0 < w < width and 0 < h < height:
            return Box(int(down * (height - h + 1)), int(right * (width - w + 1)), h, w)
    return None
