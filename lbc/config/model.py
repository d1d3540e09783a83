"""Model settings: one section per model family."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field

from lbc.config.external import Imported, Timm, Torchvision
from lbc.config.values import Section


class ConvNet(Section):
    """A small convolutional network."""

    name: Literal["convnet"] = "convnet"
    width: int = Field(default=32, ge=1, le=8192, description="Channels of the first layer.")
    depth: int = Field(default=3, ge=1, le=100, description="Number of convolutions.")


class Mlp(Section):
    """A network of fully connected layers."""

    name: Literal["mlp"] = "mlp"
    width: int = Field(default=256, ge=1, le=65536, description="Units in each hidden layer.")
    depth: int = Field(default=3, ge=1, le=100, description="Number of linear layers.")


class CifarResNet(Section):
    """ResNet for small images, with 20, 32 or 56 layers."""

    name: Literal["resnet20", "resnet32", "resnet56"] = "resnet20"
    width: int = Field(
        default=16, ge=1, le=4096, description="Channels of the first stage; 16 in the paper."
    )


class ResNet(Section):
    """ResNet for large images, with 18, 34 or 50 layers."""

    name: Literal["resnet18", "resnet34", "resnet50"] = "resnet18"


class DeiT(Section):
    """Data-efficient vision transformer with 192 or 384 channels."""

    name: Literal["deit-tiny", "deit-small"] = "deit-tiny"
    patch: int = Field(
        default=16, ge=1, le=1024, description="Patch side in pixels; must divide the image size."
    )
    drop_path: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="Stochastic depth rate of the last block; rises linearly from 0.",
    )


Model = Annotated[
    ConvNet | Mlp | CifarResNet | ResNet | DeiT | Imported | Timm | Torchvision,
    Field(discriminator="name"),
]
FAMILIES: tuple[type[Section], ...] = get_args(get_args(Model)[0])
