"""Settings of what is changed at random in the images that are trained on."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lbc.config.values import Section


class Augment(Section):
    """Random changes of the training images; all off unless asked for."""

    crop: Literal["none", "pad", "resized"] = Field(
        default="none",
        description="Train on a part of each image: shifted in a padded one, or resized.",
    )
    padding: int = Field(default=4, ge=1, le=1024, description="Pixels added around; crop pad.")
    smallest_area: float = Field(
        default=0.08, gt=0, le=1, description="Least share of the image's area; crop resized."
    )
    flip: bool = Field(default=False, description="Mirror half of the images left to right.")
    color_jitter: float = Field(
        default=0, ge=0, le=1, description="Most change of brightness, contrast and saturation."
    )
    lighting: float = Field(
        default=0, ge=0, le=10, description="Deviation of AlexNet's changes of lighting; often 0.1."
    )
    rand_augment: float = Field(
        default=0, ge=0, le=10, description="Magnitude of RandAugment; 0 for none, often 9."
    )
    rand_augment_std: float = Field(
        default=0.5, ge=0, le=10, description="Deviation of that magnitude from image to image."
    )
    erasing: float = Field(
        default=0, ge=0, le=1, description="Chance that noise covers a part of an image."
    )
    mixup: float = Field(
        default=0, ge=0, le=100, description="Alpha of mixup, which blends two images; 0 for none."
    )
    cutmix: float = Field(
        default=0, ge=0, le=100, description="Alpha of CutMix, which pastes a part; 0 for none."
    )
    repeats: int = Field(
        default=1, ge=1, le=100, description="Differently changed copies of an image in a batch."
    )
