"""Settings of networks from elsewhere: a user's own code, timm, torchvision.

Reading a section imports nothing; ``lbc.models`` does, when the network is built.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, JsonValue

from lbc.config.strict_yaml import shown
from lbc.config.values import Section


def _import_path(text: str) -> str:
    module, colon, function = text.partition(":")
    parts = (*module.split("."), *function.split("."))
    if not colon or not all(part.isidentifier() for part in parts):
        raise ValueError(f"{shown(text)} names no function: write it like package.module:function.")
    return text


ImportPath = Annotated[str, AfterValidator(_import_path)]
ModelName = Annotated[str, Field(min_length=1)]
Kwargs = dict[str, JsonValue]

KWARGS_DESCRIPTION = "Arguments by name, like {depth: 3}."


class Imported(Section):
    """Whatever network a function returns."""

    name: Literal["import"] = Field(default="import", description="A network of your own code.")
    import_: ImportPath = Field(
        alias="import", description="Function that returns it, like package.module:function."
    )
    kwargs: Kwargs = Field(default={}, description=KWARGS_DESCRIPTION)


class Timm(Section):
    """A network of the package timm."""

    name: Literal["timm"] = Field(default="timm", description="A network of the package timm.")
    model: ModelName = Field(description="Its name there, like resnet50 or vit_tiny_patch16_224.")
    kwargs: Kwargs = Field(default={}, description=KWARGS_DESCRIPTION)


class Torchvision(Section):
    """A network of the package torchvision."""

    name: Literal["torchvision"] = Field(
        default="torchvision", description="A network of the package torchvision."
    )
    model: ModelName = Field(description="Its name there, like resnet50 or vit_b_16.")
    kwargs: Kwargs = Field(default={}, description=KWARGS_DESCRIPTION)


FOREIGN = (Imported, Timm, Torchvision)
