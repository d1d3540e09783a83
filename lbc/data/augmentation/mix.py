"""Mixup (Zhang et al., 2018) and CutMix (Yun et al., 2019): combine two images and their labels.

Each image is mixed with its neighbour in the shuffled batch: 0 with 1, 2 with 3 and so on. Thus a
process with whole pairs needs no images of other processes. An unpaired last image is not mixed.
"""

from __future__ import annotations

from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor

from lbc.data.augmentation.draws import Draws, Share
from lbc.data.dataset import Box


def extend_to_pairs(share: Share) -> Share:
    """Extend the share by up to one image at each end, so that it consists of whole pairs."""
    last = min(share.size, share.last + share.last % 2)
    return Share(share.first - share.first % 2, last, share.size)


def mix(
    images: Tensor, labels: Tensor, classes: int, mixup: float, cutmix: float, draws: Draws
) -> tuple[Tensor, Tensor]:
    """Return mixed images (b, channels, H, W) and class probabilities, float32 (b, classes).

    ``mixup`` and ``cutmix`` are the alphas of their Beta distributions, 0 for off. If both are on,
    each is used for half of the batches. The mixing ratio is the same for the whole batch.
    """
    neighbour = torch.arange(len(images)) ^ 1
    neighbour[neighbour == len(images)] -= 1
    use_cutmix = draws.once() < 0.5 if mixup and cutmix else bool(cutmix)
    kept = draws.beta(cutmix if use_cutmix else mixup)
    centre = draws.once(), draws.once()
    if use_cutmix:
        height, width = images.shape[2:]
        box = cutmix_box(kept, centre, height, width)
        rows, columns = (
            slice(box.top, box.top + box.height),
            slice(box.left, box.left + box.width),
        )
        mixed = images.clone()
        mixed[:, :, rows, columns] = images[neighbour, :, rows, columns]
        kept = 1 - box.height * box.width / (height * width)
    else:
        mixed = images * kept + images[neighbour] * (1 - kept)
    targets = F.one_hot(labels, classes).float()
    return mixed, targets * kept + targets[neighbour] * (1 - kept)


def cutmix_box(kept: float, centre: tuple[float, float], height: int, width: int) -> Box:
    """A box of a fraction 1 - ``kept`` of the area around ``centre`` (y, x) in [0, 1), clipped."""
    side = sqrt(1 - kept)
    h, w = int(height * side), int(width * side)
    top, left = int(centre[0] * height) - h // 2, int(centre[1] * width) - w // 2
    bottom, right = min(height, top + h), min(width, left + w)
    top, left = max(0, top), max(0, left)
    return Box(top, left, bottom - top, right - left)
