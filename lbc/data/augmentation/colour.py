"""Random brightness, contrast, saturation and lighting."""

from __future__ import annotations

import torch
from torch import Tensor

from lbc.data.augmentation.draws import Draws

MAX_PIXEL = 255.0

LUMA_WEIGHTS = torch.tensor([0.299, 0.587, 0.114])
"""Weights of red, green and blue in the luma (ITU-R BT.601)."""

DEVIATIONS = torch.tensor([0.2175, 0.0188, 0.0045])
DIRECTIONS = torch.tensor(
    [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]]
)
"""Principal components of ImageNet's RGB values, one per column, and their standard deviations,
for pixels of 0 … 1."""


def color_jitter(images: Tensor, strength: float, draws: Draws) -> Tensor:
    """Change the brightness, contrast and saturation, in this order.

    Each is scaled by a factor of 1 - ``strength`` … 1 + ``strength``. Images are (b, 1 or 3, H, W)
    with pixels 0 … 255; returns float32, 0 … 255.
    """
    factors = 1 + strength * (2 * draws.uniform(3).float() - 1)
    brightness, contrast, saturation = (part[:, None, None, None] for part in factors.unbind(1))
    images = (images * brightness).clamp_(0, MAX_PIXEL)
    mean = _luma(images).mean((1, 2, 3), keepdim=True)
    images.sub_(mean).mul_(contrast).add_(mean).clamp_(0, MAX_PIXEL)
    luma = _luma(images)
    return images.sub_(luma).mul_(saturation).add_(luma).clamp_(0, MAX_PIXEL)


def lighting(images: Tensor, std: float, draws: Draws) -> Tensor:
    """Add PCA lighting noise (Krizhevsky et al., 2012).

    Shifts the colour by α·λ along each principal component, where α is normal with standard
    deviation ``std`` and λ is that of the component. Images are (b, 3, H, W) with pixels 0 … 255;
    returns float32, not clamped, as in the paper.
    """
    alpha = draws.normal(3).float() * std
    shift = (alpha * DEVIATIONS) @ DIRECTIONS.T * MAX_PIXEL
    return images + shift[:, :, None, None]


def _luma(images: Tensor) -> Tensor:
    """(b, 1, H, W)."""
    if images.shape[1] == 1:
        return images.clone()
    return torch.einsum("bchw,c->bhw", images, LUMA_WEIGHTS)[:, None]
