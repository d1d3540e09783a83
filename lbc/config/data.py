"""Settings of the data: one section a source."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from lbc.config.augmentation import Augment
from lbc.config.values import FilePath, Section


class Source(Section):
    """What every source of images can be told."""

    name: str  # here, so that it is written first
    workers: int = Field(
        default=0, ge=0, le=256, description="Processes that prepare images; 0 for none."
    )
    augment: Augment = Field(default=Augment(), description="Random changes of training images.")


class Digits(Source):
    """The bundled handwritten digits."""

    name: Literal["digits"] = Field(default="digits", description="The bundled handwritten digits.")


class NpzFile(Source):
    """Images and labels of one's own, in a NumPy archive."""

    name: Literal["npz"] = Field(default="npz", description="Your own images in a NumPy .npz file.")
    file: FilePath = Field(
        description="Path of the .npz file; relative ones start at the experiment's folder."
    )
    test_share: float = Field(
        default=0.2, gt=0, lt=1, description="Share of the images kept for testing, from 0 to 1."
    )


class IdxFiles(Source):
    """The four files of MNIST, Fashion-MNIST, KMNIST, or of a part of EMNIST."""

    name: Literal["idx"] = Field(default="idx", description="MNIST and its like, as IDX files.")
    folder: FilePath = Field(
        description="Folder of the files; a relative one starts at the experiment's folder."
    )
    emnist: Literal["none", "balanced", "byclass", "bymerge", "digits", "letters", "mnist"] = Field(
        default="none", description="Which part of EMNIST; none for MNIST and its like."
    )


class Cifar10(Source):
    """CIFAR-10, binary version."""

    name: Literal["cifar10"] = Field(default="cifar10", description="CIFAR-10, binary version.")
    folder: FilePath = Field(description="Folder of data_batch_1.bin and so on.")


class Cifar100(Source):
    """CIFAR-100, binary version."""

    name: Literal["cifar100"] = Field(default="cifar100", description="CIFAR-100, binary version.")
    folder: FilePath = Field(description="Folder of train.bin and test.bin.")
    labels: Literal["fine", "coarse"] = Field(
        default="fine", description="The 100 fine classes or the 20 coarse ones."
    )


class ImageFolder(Source):
    """Pictures in ImageNet's layout: ``train/CLASS/*`` and ``val/CLASS/*``."""

    name: Literal["folder"] = Field(
        default="folder", description="Pictures in train/CLASS and val/CLASS, as ImageNet."
    )
    folder: FilePath = Field(description="The folder that holds train and val.")
    size: int = Field(default=224, ge=1, le=8192, description="Side of the images in pixels.")
    resize: int = Field(
        default=256,
        ge=1,
        le=16384,
        description="Shorter side before the middle is cut out for testing.",
    )
    interpolation: Literal["bilinear", "bicubic"] = Field(
        default="bilinear", description="How pictures are resized."
    )
    workers: int = Field(
        default=4, ge=0, le=256, description="Processes that prepare images; 0 for none."
    )

    @field_validator("resize")
    @classmethod
    def _holds_the_middle(cls, resize: int, info: ValidationInfo) -> int:
        size = info.data.get("size")
        if size is not None and resize < size:
            raise ValueError(
                f"The middle of {size} pixels is not inside a picture of {resize}: raise resize "
                "or lower size."
            )
        return resize


Data = Annotated[
    Digits | NpzFile | IdxFiles | Cifar10 | Cifar100 | ImageFolder, Field(discriminator="name")
]
SOURCES: tuple[type[Section], ...] = (Digits, NpzFile, IdxFiles, Cifar10, Cifar100, ImageFolder)
