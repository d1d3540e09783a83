"""Filters for runs, see ``filter_syntax``: which runs pass, and what can be typed next.

Accuracies and densities are in per cent, durations like 90, 45s, 2h or 1h30m. Texts are compared
without regard to case, times by their beginning (``started = 2026-11``). A comparison with a value
that a run lacks is false, and ``!=`` and ``not`` are the opposites of ``=`` and of what follows.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from difflib import get_close_matches
from operator import ge, gt, le, lt
from typing import Any

import numpy as np
import numpy.typing as npt

from lbc.library.columns import OTHER_NAMES, Cell, Column, Frame, Kind, Numbers, Rows
from lbc.library.filter_syntax import (
    OPERATORS,
    Comparison,
    FilterError,
    Joined,
    Node,
    Not,
    Presence,
    parse,
    parse_number,
)

Mask = npt.NDArray[np.bool_]
Test = Callable[[Cell], bool]

_ORDER: dict[str, Callable[[Any, Any], Any]] = {"<": lt, "<=": le, ">": gt, ">=": ge}

_NO_TEXT = {"=", "!=", *_ORDER}
_USABLE: dict[Kind, set[str]] = {
    "text": {"=", "!=", "~", "!~"},
    "tags": {"=", "!=", "~", "!~"},
    "flag": {"=", "!="},
    "time": set(OPERATORS),
    "number": _NO_TEXT,
    "percent": _NO_TEXT,
    "seconds": _NO_TEXT,
    "setting": set(OPERATORS),
}
_EXAMPLES: dict[Kind, str] = {
    "flag": "yes or no",
    "number": "a number like 3",
    "percent": "per cent like 97.5",
    "seconds": "a duration like 90, 45s, 2h or 1h30m",
    "setting": "a number like 0.1",
}
_YES, _NO = ("yes", "true", "1"), ("no", "false", "0")

_SECONDS = {"d": 86_400, "h": 3600, "min": 60, "m": 60, "s": 1}
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*(d|h|min|m|s)\s*", re.ASCII)


def filter_rows(text: str, frame: Frame) -> Rows:
    """The indices of the runs that pass a filter, rising. Raises FilterError."""
    node = parse(text)
    if node is None:
        return np.arange(len(frame.runs))
    return np.flatnonzero(_mask(node, frame))


def usable_operators(column: Column) -> tuple[str, ...]:
    """The operators that a column can be compared with."""
    return tuple(operator for operator in OPERATORS if operator in _USABLE[column.kind])


def _mask(node: Node, frame: Frame) -> Mask:
    match node:
        case Not(part):
            return ~_mask(part, frame)
        case Joined(word, parts):
            join = np.logical_and if word == "and" else np.logical_or
            mask: Mask = join.reduce([_mask(part, frame) for part in parts])
            return mask
        case Presence():
            column = _find(node.column, node.places[0], frame)
            passes = _passes(frame, column, lambda cell: column.kind != "flag" or cell == "yes")
            return passes if node.present else ~passes
    return _compared(node, frame)


def _compared(node: Comparison, frame: Frame) -> Mask:
    column = _find(node.column, node.places[0], frame)
    if node.operator not in _USABLE[column.kind]:
        choices = ", ".join(usable_operators(column))
        start, end = node.places[1]
        message = f"{column.name} cannot be compared with {node.operator}: use {choices}."
        raise FilterError(message, start, end - start, "=")
    opposite = {"!=": "=", "!~": "~"}.get(node.operator)
    passes = _test(column, opposite or node.operator, node.value, frame)
    if passes is None:
        start, end = node.places[2]
        needed, given = _EXAMPLES[column.kind], node.value[:60]
        message = f"{column.name} {node.operator} needs {needed}, not {given!r}."
        raise FilterError(message, start, end - start)
    return ~passes if opposite else passes


def _test(column: Column, operator: str, value: str, frame: Frame) -> Mask | None:
    """The runs that pass, None if the value is none that the column can have."""
    read_number = _NUMBERS.get(column.kind)
    number = None if read_number is None or operator == "~" else read_number(value)
    if number is not None:
        return _compare_numbers(frame.numbers(column.name), operator, number)
    if operator in _ORDER and column.kind != "time":
        return None
    test = _text_test(column.kind, operator, value)
    return None if test is None else _passes(frame, column, test)


def _compare_numbers(numbers: Numbers, operator: str, wanted: float) -> Mask:
    if operator == "=":
        return np.isclose(numbers, wanted, rtol=1e-9, atol=0)
    mask: Mask = _ORDER[operator](numbers, wanted)
    return mask


def _passes(frame: Frame, column: Column, test: Test) -> Mask:
    distinct, codes = frame.distinct(column.name)
    return np.array([*map(test, distinct), False], dtype=bool)[codes]


def _find(name: str, place: tuple[int, int], frame: Frame) -> Column:
    try:
        return frame.column(name)
    except KeyError:
        raise unknown_column(name, frame, place[0], place[1] - place[0]) from None


def unknown_column(name: str, frame: Frame, start: int = 0, length: int = 0) -> FilterError:
    """The error of a name that is no column, with the most similar one."""
    names = [*frame.names, *OTHER_NAMES]
    close = [known for known in names if known.rpartition(".")[2] == name.lower()]
    close = close or get_close_matches(name.lower(), names, 1)
    hint = f"; did you mean {close[0]!r}?" if close else ": others are accuracy and optimizer.lr."
    message = f"There is no column {name[:60]!r}{hint}"
    return FilterError(message, start, length, close[0] if close else "")


def _text_test(kind: Kind, operator: str, value: str) -> Test | None:
    match kind:
        case "number" | "percent" | "seconds":
            return None
        case "flag":
            wanted = "yes" if value.lower() in _YES else "no" if value.lower() in _NO else None
            return None if wanted is None else lambda cell: cell == wanted
        case "time" if operator == "=":
            return lambda cell: str(cell).startswith(value)
        case "time" if operator in _ORDER:
            compare = _ORDER[operator]
            # With a moment as long as the value: a day includes its hours.
            return lambda cell: compare(str(cell)[: len(value)], value)
    folded = value.casefold()
    holds = str.__eq__ if operator == "=" else str.__contains__
    if kind == "tags":
        return lambda cell: (
            isinstance(cell, tuple) and any(holds(tag.casefold(), folded) for tag in cell)
        )
    return lambda cell: holds(str(cell).casefold(), folded)


def parse_duration(text: str) -> float | None:
    """Seconds of a duration such as 90, 45s, 2h or 1h30m; None if it is none."""
    number = parse_number(text)
    if number is None and re.fullmatch(f"(?:{_AMOUNT.pattern})+", text, re.ASCII):
        number = sum(float(amount) * _SECONDS[unit] for amount, unit in _AMOUNT.findall(text))
    return number


_NUMBERS: dict[Kind, Callable[[str], float | None]] = {
    "number": parse_number,
    "percent": lambda text: parse_number(text.removesuffix("%").rstrip()),
    "seconds": parse_duration,
    "setting": parse_number,
}
