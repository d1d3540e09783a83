"""Settings of external models: the user's own code, timm, torchvision.

Reading a section imports nothing; ``lbc.models`` imports the code when it builds the model, if the
user allows it. ``label`` names the code in messages.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, JsonValue

from lbc.config.strict_yaml import quote
from lbc.config.values import Section


def _import_path(text: str) -> str:
    module, colon, function = text.partition(":")
    parts = (*module.split("."), *function.split("."))
    if not colon or not all(part.isidentifier() for part in parts):
        raise ValueError(f"{quote(text)} is not an import path: write package.module:function.")
    return text


ImportPath = Annotated[str, AfterValidator(_import_path)]
ModelName = Annotated[str, Field(min_length=1)]
Kwargs = dict[str, JsonValue]

KWARGS_DESCRIPTION = "Keyword arguments, like {depth: 3}."


class Imported(Section):
    """The model that a function of the user returns."""

    name: Literal["import"] = "import"
    import_: ImportPath = Field(
        alias="import", description="Function that returns it, as package.module:function."
    )
    kwargs: Kwargs = Field(default={}, description=KWARGS_DESCRIPTION)

    @property
    def label(self) -> str:
        return self.import_


class Timm(Section):
    """A model from timm."""

    name: Literal["timm"] = "timm"
    model: ModelName = Field(description="Model name, like resnet50 or vit_tiny_patch16_224.")
    kwargs: Kwargs = Field(default={}, description=KWARGS_DESCRIPTION)

    @property
    def label(self) -> str:
        return f"timm's {self.model}"


class Torchvision(Section):
    """A model from torchvision."""

    name: Literal["torchvision"] = "torchvision"
    model: ModelName = Field(description="Model name, like resnet50 or vit_b_16.")
    kwargs: Kwargs = Field(default={}, description=KWARGS_DESCRIPTION)

    @property
    def label(self) -> str:
        return f"torchvision's {self.model}"


EXTERNAL = (Imported, Timm, Torchvision)


def check_import(model: object, allowed: bool) -> None:
    """Raise ValueError if the model is code named in a file, and the user has not allowed it."""
    if isinstance(model, EXTERNAL) and not allowed:
        raise ValueError(
            f"The model is code that the file names, {quote(model.label)}, and this command does "
            "not run it by itself: if you trust the file and the code, add --allow-import."
        )
