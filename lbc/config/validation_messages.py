"""Validation errors of pydantic as sentences that say how to correct them."""

from __future__ import annotations

from difflib import get_close_matches

from pydantic_core import ErrorDetails

from lbc.config.augmentation import Augment
from lbc.config.data import SOURCES
from lbc.config.experiment import Experiment
from lbc.config.model import FAMILIES
from lbc.config.strict_yaml import KeyPath, quote
from lbc.config.training import Keep, Optimizer, RemovalSchedule, Teacher, Training
from lbc.config.values import Section, fields_by_key, variant_names

_MESSAGES = {
    "missing": "Is required: set it.",
    "invalid_key": "A key must be text, not {input}.",
    "string_too_short": "Must not be empty.",
    "bool_type": "Must be true or false, not {input}.",
    "int_type": "Must be a whole number, not {input}.",
    "int_from_float": "Must be a whole number, not {input}.",
    "float_type": "Must be a number, not {input}.",
    "finite_number": "Must be a finite number.",
    "greater_than": "Must be above {gt}, not {input}.",
    "greater_than_equal": "Must be at least {ge}, not {input}.",
    "less_than": "Must be below {lt}, not {input}.",
    "less_than_equal": "Must be at most {le}, not {input}.",
    "string_type": "Must be text, not {input}: put it in quotes.",
    "is_instance_of": "Must be the path of a file or folder, not {input}.",
    "tuple_type": "Must be a list, like [conv1, fc], not {input}.",
} | dict.fromkeys(
    ("dict_type", "model_type", "model_attributes_type", "union_tag_not_found"),
    "Must be a group of 'key: value' settings, not {input}.",
)

_SECTIONS: dict[str | int, type[Section]] = {
    **{name: section for section in (*SOURCES, *FAMILIES) for name in variant_names(section)},
    "augment": Augment,
    "schedule": RemovalSchedule,
    "optimizer": Optimizer,
    "training": Training,
    "keep": Keep,
    "teacher": Teacher,
}


def explain(error: ErrorDetails) -> tuple[KeyPath, str]:
    """Return the key path of a pydantic error and a sentence that says how to correct it."""
    kind, where, given, context = error["type"], error["loc"], error["input"], error.get("ctx", {})
    path = tuple(key for key in where if key != "[key]")
    if path[0] in ("data", "model"):  # pydantic inserts the variant's name after these
        path = path[:1] + path[2:]
    if path[1:2] == ("kwargs",):  # and below an argument the types it tried
        path = path[:3]
    if kind == "extra_forbidden":
        return path, _unknown_key(str(path[-1]), where)
    choices = context.get("expected", context.get("expected_tags", "")).replace("'", "")
    if kind == "union_tag_invalid":
        path, given = (*path, "name"), given["name"]
    if given is None:
        return path, "Has no value: set one, or remove the key."
    if kind == "value_error":
        return getattr(context["error"], "path", path), str(context["error"])
    if choices:
        return path, f"Unknown value {quote(given)}: choose {choices}."
    values = {name: quote(value) for name, value in context.items()} | {"input": quote(given)}
    message = _MESSAGES[kind].format(**values) if kind in _MESSAGES else f"{error['msg']}."
    if kind == "float_type" and isinstance(given, str) and "," in given:
        message = f"{message[:-1]}: write 0.5 with a point, not 0,5."
    return path, message


def _unknown_key(key: str, where: KeyPath) -> str:
    known = fields_by_key(_SECTIONS[where[-2]] if len(where) > 1 else Experiment)
    close = get_close_matches(key.lower(), known, 1) or [
        f"{name}.{key}"
        for name in ("schedule", "optimizer", "training")
        if key in _SECTIONS[name].model_fields
    ]
    if close:
        return f"Unknown key; did you mean {close[0]!r}?"
    return f"Unknown key; valid keys are {', '.join(known)}."
