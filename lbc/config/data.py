"""Data settings: one section per data source."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, ValidationInfo, field_validator

from lbc.config.augmentation import Augment
from lbc.config.values import FilePath, Section


class Source(Section):
    """Settings that every data source has."""

    name: str  # declared here so that it is written first
    workers: int = Field(
        default=0, ge=0, le=256, description="Worker processes that load images; 0 for none."
    )
    augment: Augment = Field(default=Augment(), description="Augmentation of training images.")
    take: int = Field(
        default=0, ge=0, description="Use only the first K training images; 0 for all."
    )
    test_share: float = Field(
        default=0,
        ge=0,
        lt=1,
        description="Fraction of the training images held out for testing; 0: own test images.",
    )


class Digits(Source):
    """The bundled handwritten digits."""

    name: Literal["digits"] = "digits"


class NpzFile(Source):
    """The user's own images and labels in a NumPy archive."""

    name: Literal["npz"] = "npz"
    file: FilePath = Field(
        description="Path of the .npz file, relative to the experiment's folder."
    )
    test_share: float = Field(
        default=0.2, gt=0, lt=1, description="Fraction of the images held out for testing."
    )


class IdxFiles(Source):
    """The four files of MNIST, Fashion-MNIST, KMNIST, or one split of EMNIST."""

    name: Literal["idx"] = "idx"
    folder: FilePath = Field(
        description="Folder of the files, relative to the experiment's folder."
    )
    emnist: Literal["none", "balanced", "byclass", "bymerge", "digits", "letters", "mnist"] = Field(
        default="none", description="The EMNIST split to read; none for other data sets."
    )


class Cifar10(Source):
    """CIFAR-10, binary version."""

    name: Literal["cifar10"] = "cifar10"
    folder: FilePath = Field(description="Folder that contains data_batch_1.bin and so on.")


class Cifar100(Source):
    """CIFAR-100, binary version."""

    name: Literal["cifar100"] = "cifar100"
    folder: FilePath = Field(description="Folder that contains train.bin and test.bin.")
    labels: Literal["fine", "coarse"] = Field(
        default="fine", description="The 100 fine classes or the 20 coarse ones."
    )


class ImageFolder(Source):
    """Image files in ImageNet's layout: ``train/CLASS/*`` and ``val/CLASS/*``."""

    name: Literal["folder"] = "folder"
    folder: FilePath = Field(description="Folder that contains train and val.")
    size: int = Field(default=224, ge=1, le=8192, description="Image side length in pixels.")
    resize: int = Field(
        default=256,
        ge=1,
        le=16384,
        description="Length of the shorter side before the centre crop, for testing.",
    )
    interpolation: Literal["bilinear", "bicubic"] = Field(
        default="bilinear", description="Interpolation for resizing."
    )
    workers: int = Field(
        default=4, ge=0, le=256, description="Worker processes that load images; 0 for none."
    )

    @field_validator("resize")
    @classmethod
    def _check_resize(cls, resize: int, info: ValidationInfo) -> int:
        size = info.data.get("size")
        if size is not None and resize < size:
            raise ValueError(
                f"A centre crop of {size} pixels does not fit into an image resized to {resize}: "
                "raise data.resize or lower data.size."
            )
        return resize


Data = Annotated[
    Digits | NpzFile | IdxFiles | Cifar10 | Cifar100 | ImageFolder, Field(discriminator="name")
]
SOURCES: tuple[type[Section], ...] = get_args(get_args(Data)[0])
