"""Changes of brightness, contrast, saturation and lighting."""

from __future__ import annotations

import torch
from torch import Tensor

from lbc.data.augmentation.draws import Draws

BRIGHTEST = 255.0

GREY = torch.tensor([0.299, 0.587, 0.114])
"""How bright red, green and blue seem (ITU-R BT.601)."""

DEVIATIONS = torch.tensor([0.2175, 0.0188, 0.0045])
DIRECTIONS = torch.tensor(
    [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]]
)
"""Principal components of the colours in ImageNet's pictures, one a column, and the square roots
of their variances, as shares of full brightness."""


def color_jitter(images: Tensor, most: float, draws: Draws) -> Tensor:
    """Images (b, 1 or 3, H, W) of 0 … 255: brightness, contrast, saturation, in this order.

    Each is multiplied by a factor of 1 - ``most`` … 1 + ``most``. Returns float32, 0 … 255.
    """
    factors = 1 + most * (2 * draws.uniform(3).float() - 1)
    bright, contrast, saturation = (part[:, None, None, None] for part in factors.unbind(1))
    images = (images * bright).clamp_(0, BRIGHTEST)
    mean = _grey(images).mean((1, 2, 3), keepdim=True)
    images.sub_(mean).mul_(contrast).add_(mean).clamp_(0, BRIGHTEST)
    grey = _grey(images)
    return images.sub_(grey).mul_(saturation).add_(grey).clamp_(0, BRIGHTEST)


def lighting(images: Tensor, deviation: float, draws: Draws) -> Tensor:
    """Colour images (b, 3, H, W) of 0 … 255, shifted along the main directions of colour.

    By α·λ, where α is normal with ``deviation`` and λ the direction's own (Krizhevsky et al.,
    2012). Returns float32 that is not clamped, as there.
    """
    alpha = draws.normal(3).float() * deviation
    shift = (alpha * DEVIATIONS) @ DIRECTIONS.T * BRIGHTEST
    return images + shift[:, :, None, None]


def _grey(images: Tensor) -> Tensor:
    """(b, 1, H, W)."""
    if images.shape[1] == 1:
        return images.clone()
    return torch.einsum("bchw,c->bhw", images, GREY)[:, None]
