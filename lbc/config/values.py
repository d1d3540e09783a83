"""Field types of the settings (patterns, paths, amounts of memory) and their base class."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    SerializeAsAny,
)
from pydantic.fields import FieldInfo

from lbc.config.strict_yaml import KeyPath, quote
from lbc.sparsity.method_options import MethodOptions, read_options
from lbc.sparsity.pattern import Pattern


class ContradictionError(ValueError):
    """Two settings contradict each other; ``path`` is the one to report."""

    def __init__(self, path: KeyPath, message: str) -> None:
        super().__init__(message)
        self.path = path


def _read_pattern(value: object) -> Pattern:
    return value if isinstance(value, Pattern) else Pattern.parse(str(value))


def _read_layer(value: object) -> Pattern | Literal["dense"]:
    return "dense" if value == "dense" else _read_pattern(value)


def _read_bytes(value: object) -> object:
    if not isinstance(value, str):
        return value
    amount = r"\s*(\d{1,16}(?:\.\d{1,6})?)\s*(?:([KMGT])(I?))?B\s*"
    match = re.fullmatch(amount, value.upper(), re.ASCII)
    if match is None:
        raise ValueError(
            f"{quote(value)} is not an amount of memory: write it like 4 GiB or 500 MB."
        )
    return int(Fraction(match[1]) * (1024 if match[3] else 1000) ** "_KMGT".index(match[2] or "_"))


def _write_bytes(count: int) -> str:
    power = next(power for power in (4, 3, 2, 1, 0) if count % 1024**power == 0)
    return f"{count // 1024**power} {('B', 'KiB', 'MiB', 'GiB', 'TiB')[power]}"


def _read_interval(text: str) -> str:
    if text in ("removal", "never"):
        return text
    if (match := re.fullmatch(r"([1-9]\d{0,5}) epochs?", text, re.ASCII)) is None:
        raise ValueError(
            f"{quote(text)} is no interval: write 1 epoch, 5 epochs, removal or never."
        )
    return "1 epoch" if match[1] == "1" else f"{match[1]} epochs"


def _safe_name(name: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9_-])?", name) is None:
        raise ValueError(
            f"{quote(name)} is not a valid folder name: use up to 64 letters, digits, '-', "
            "'_' and '.', starting with a letter or digit and not ending in '.'."
        )
    return name


def _device(name: str) -> str:
    if re.fullmatch(r"(cpu|cuda|mps|xpu)(:[0-9]{1,3})?", name) is None:
        raise ValueError(f"{quote(name)} is not a device: write cpu, cuda, cuda:0 or mps.")
    return name


def _read_file(value: object) -> object:
    if value == "":
        raise ValueError("The path is empty: enter a file or folder.")
    return Path(value) if isinstance(value, str) else value


def _read_optional(value: object) -> object:
    return Path(value) if isinstance(value, str) and value else value


PatternText = Annotated[
    Pattern, PlainValidator(_read_pattern), PlainSerializer(str, return_type=str)
]
LayerText = Annotated[
    Pattern | Literal["dense"], PlainValidator(_read_layer), PlainSerializer(str, return_type=str)
]
FilePath = Annotated[Path, BeforeValidator(_read_file)]
OptionalPath = Annotated[Path | Literal[""], BeforeValidator(_read_optional)]
LayerName = Annotated[str, Field(min_length=1)]
LayerPatterns = dict[LayerName, LayerText]
LayerNames = Annotated[tuple[LayerName, ...], Field(strict=False)]
SafeName = Annotated[str, AfterValidator(_safe_name)]
Method = Annotated[SerializeAsAny[MethodOptions], PlainValidator(read_options)]
Interval = Annotated[str, AfterValidator(_read_interval)]
Device = Annotated[str, AfterValidator(_device)]
Bytes = Annotated[
    int,
    Field(ge=1, le=1 << 50),
    BeforeValidator(_read_bytes),
    PlainSerializer(_write_bytes, return_type=str),
]


class Section(BaseModel):
    """A group of settings: frozen, strictly typed, without unknown keys."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, validate_default=True,
        serialize_by_alias=True,
    )  # fmt: skip


@cache
def fields_by_key(section: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of a section by their keys in a file, where ``import_`` is called ``import``."""
    return {field.alias or name: field for name, field in section.model_fields.items()}


def variant_names(variant: type[BaseModel]) -> tuple[str, ...]:
    """The values of ``name`` that select this variant of ``data`` or ``model``."""
    return get_args(variant.model_fields["name"].annotation)
