"""Mixup (Zhang et al., 2018) and CutMix (Yun et al., 2019): two images become one, labels too.

Images are mixed with their neighbours in the batch, 0 with 1, 2 with 3 and so on, which the
shuffle made random. So a process that has whole pairs needs nobody else's images. A last one
without a neighbour stays as it is.
"""

from __future__ import annotations

from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor

from lbc.data.augmentation.draws import Draws, Share
from lbc.data.dataset import Box


def whole_pairs(share: Share) -> Share:
    """The share, made larger by up to one image at either end."""
    last = min(share.size, share.last + share.last % 2)
    return Share(share.first - share.first % 2, last, share.size)


def mix(
    images: Tensor, labels: Tensor, classes: int, mixup: float, cutmix: float, draws: Draws
) -> tuple[Tensor, Tensor]:
    """Mixed images (b, channels, H, W), and the shares of classes in each, float32 (b, classes).

    ``mixup`` and ``cutmix`` are the alphas of their Beta distributions, 0 for never. Where both
    are on, either has half of the batches. One share holds for all of a batch.
    """
    neighbour = torch.arange(len(images)) ^ 1
    neighbour[neighbour == len(images)] -= 1
    pasted = draws.once() < 0.5 if mixup and cutmix else bool(cutmix)
    kept = draws.beta(cutmix if pasted else mixup)
    middle = draws.once(), draws.once()
    if pasted:
        height, width = images.shape[2:]
        box = pasted_part(kept, middle, height, width)
        rows, columns = (
            slice(box.top, box.top + box.height),
            slice(box.left, box.left + box.width),
        )
        mixed = images.clone()
        mixed[:, :, rows, columns] = images[neighbour, :, rows, columns]
        kept = 1 - box.height * box.width / (height * width)
    else:
        mixed = images * kept + images[neighbour] * (1 - kept)
    shares = F.one_hot(labels, classes).float()
    return mixed, shares * kept + shares[neighbour] * (1 - kept)


def pasted_part(kept: float, middle: tuple[float, float], height: int, width: int) -> Box:
    """A part of 1 - ``kept`` of an image's area around ``middle``, less what would lie outside."""
    side = sqrt(1 - kept)
    h, w = int(height * side), int(width * side)
    top, left = int(middle[0] * height) - h // 2, int(middle[1] * width) - w // 2
    bottom, right = min(height, top + h), min(width, left + w)
    top, left = max(0, top), max(0, left)
    return Box(top, left, bottom - top, right - left)
