"""The keys of an experiment as Markdown, from the models that check them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from lbc.config.data import SOURCES
from lbc.config.experiment import Experiment
from lbc.config.model import FAMILIES
from lbc.config.values import fields_by_key, variant_names
from lbc.sparsity.method_names import method_names
from lbc.sparsity.method_options import options_class

VARIANTS = ("data", "model", "method")
"""Sections whose keys depend on their name."""

SIGNS = {Ge: "≥", Gt: ">", Le: "≤", Lt: "<"}
KINDS = {bool: "true or false", int: "whole number", float: "number", str: "text", dict: "mapping",
         tuple: "list"}  # fmt: skip


def experiment() -> str:
    """The keys of an experiment, section by section, but for those of ``VARIANTS``."""
    return "\n".join(_sections(Experiment, ""))


def data_sources() -> str:
    """The keys of every data source; those of ``augment`` once."""
    parts = [_titled(source, "data", variant_names(source), {"augment"}) for source in SOURCES]
    return "\n".join([*parts, *_sections(SOURCES[0], "data")])


def models() -> str:
    """The keys of every family of models."""
    return "\n".join(_titled(family, "model", variant_names(family)) for family in FAMILIES)


def methods() -> str:
    """The options of every method that has any."""
    sections = {name: options_class(name) for name in method_names()}
    return "\n".join(
        _titled(section, "method", (name,), {"name"})
        for name, section in sections.items()
        if len(section.model_fields) > 1
    )


def _sections(section: type[BaseModel], path: str) -> Iterator[str]:
    fields = fields_by_key(section)
    if path != "data":
        yield _table(section, fields)
    for key, field in fields.items():
        if _has_variants(key, field) or not _is_section(field):
            continue
        inner = f"{path}.{key}".lstrip(".")
        yield f"### `{inner}`\n\n{_sentence(field.annotation)}\n"
        yield from _sections(field.annotation, inner)  # type: ignore[arg-type]


def _titled(
    section: type[BaseModel], key: str, names: tuple[str, ...], without: Collection[str] = ()
) -> str:
    said = f"### `{key}`: {', '.join(f'`{name}`' for name in names)}\n\n{_sentence(section)}\n"
    fields = {key: field for key, field in fields_by_key(section).items() if key not in without}
    return f"{said}\n{_table(section, fields)}"


def _sentence(section: Any) -> str:
    return str(section.__doc__).partition("\n\n")[0].replace("``", "`")


def _table(section: type[BaseModel], fields: Mapping[str, FieldInfo]) -> str:
    defaults = section.model_construct().model_dump(mode="json", by_alias=True, warnings=False)
    lines = ["| key | value | default | |", "| --- | --- | --- | --- |"]
    for key, field in fields.items():
        default = "required" if field.is_required() else _written(defaults[key])
        if _has_variants(key, field) or _is_section(field):
            default = ""
        cells = (f"`{key}`", _values(key, field, defaults.get(key)), default, field.description)
        lines.append("| " + " | ".join(_cell(each) for each in cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(text: str | None) -> str:
    return (text or "").replace("|", r"\|").replace("*", r"\*").replace("<", r"\<")


def _has_variants(key: str, field: FieldInfo) -> bool:
    """False for the key ``model`` of timm, which is a text."""
    return key in VARIANTS and field.annotation is not str


def _is_section(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)


def _values(key: str, field: FieldInfo, default: object) -> str:
    kind: Any = field.annotation
    if _has_variants(key, field):
        return "name or mapping, see below"
    if _is_section(field):
        return "mapping, see below"
    if get_origin(kind) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(kind))
    if kind is int and isinstance(default, str):
        return "amount, such as `4 GiB`"
    named = KINDS.get(get_origin(kind) or kind)
    if named is None:
        named = "N:M" if key == "pattern" else "path"
    bounds = [
        f"{sign} {_bound(getattr(limit, type(limit).__name__.lower()))}"
        for limit in field.metadata
        for bound, sign in SIGNS.items()
        if type(limit) is bound
    ]
    return " ".join([named, " and ".join(bounds)]).strip()


def _bound(number: float) -> str:
    return f"{int(number) if number == int(number) else number:,}"


def _written(value: object) -> str:
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, float):
        return f"`{value:g}`"
    return f"`{value}`" if value not in ("", None) else "empty"
