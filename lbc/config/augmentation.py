"""Data augmentation settings."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lbc.config.values import Section


class Augment(Section):
    """Random transforms of the training images; all off by default."""

    crop: Literal["none", "pad", "resized"] = Field(
        default="none",
        description="Random crop: pad shifts the padded image, resized scales a part of it.",
    )
    padding: int = Field(default=4, ge=1, le=1024, description="Padding in pixels, for crop pad.")
    smallest_area: float = Field(
        default=0.08, gt=0, le=1, description="Smallest crop, as a fraction of the image area."
    )
    flip: bool = Field(default=False, description="Flip half of the images horizontally.")
    color_jitter: float = Field(
        default=0, ge=0, le=1, description="Largest change of brightness, contrast and saturation."
    )
    lighting: float = Field(
        default=0, ge=0, le=10, description="Standard deviation of PCA lighting noise; often 0.1."
    )
    rand_augment: float = Field(
        default=0, ge=0, le=10, description="RandAugment magnitude; 0 for off, often 9."
    )
    rand_augment_std: float = Field(
        default=0.5, ge=0, le=10, description="Standard deviation of the RandAugment magnitude."
    )
    erasing: float = Field(
        default=0, ge=0, le=1, description="Probability of replacing a rectangle by noise."
    )
    mixup: float = Field(
        default=0, ge=0, le=100, description="Alpha of mixup, which blends two images; 0 for off."
    )
    cutmix: float = Field(
        default=0, ge=0, le=100, description="Alpha of CutMix, which pastes a rectangle; 0 for off."
    )
    repeats: int = Field(
        default=1, ge=1, le=100, description="Differently augmented copies of an image per batch."
    )
