"""What can be typed next in a filter: columns, operators, and the values that occur."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from lbc.library.columns import Frame
from lbc.library.filter import usable_operators
from lbc.library.filter_syntax import Expected, FilterError, Parser, quote, tokenize

MOST = 50
"""The largest number of candidates."""

_BEFORE_COLUMNS = ("not", "has", "missing")


@dataclass(frozen=True)
class Completion:
    """Texts that may replace the characters from ``start`` to ``end``, the best first."""

    start: int
    end: int
    candidates: tuple[str, ...]


def complete(text: str, cursor: int, frame: Frame) -> Completion:
    """The candidates for the word at a cursor, from what it begins with or else contains."""
    cursor = max(0, min(cursor, len(text)))
    tokens = tokenize(text[:cursor])
    open_quote = next((at for at, token in enumerate(tokens) if token.text in ("'", '"')), None)
    if open_quote is not None:
        start = tokens[open_quote].start
        tokens, typed = tokens[:open_quote], text[start + 1 : cursor]
    elif tokens and tokens[-1].end == cursor and tokens[-1].kind == "word":
        start, typed = tokens[-1].start, tokens.pop().text
    else:
        start, typed = cursor, ""
    rest = re.match(r"""[^\s()<>=!~"'≤≥≠]*""", text[cursor:]) if typed else None
    parser = Parser(tokens, start)
    with suppress(FilterError):
        parser.parse()
    chosen = _matching(typed.casefold(), _candidates(parser.expected, frame))
    return Completion(start, cursor + (rest.end() if rest else 0), chosen)


def _candidates(expected: Expected, frame: Frame) -> Iterable[str]:
    match expected.kind:
        case "column":
            return (*map(quote, frame.names), *_BEFORE_COLUMNS)
        case "connective":
            return ("and", "or")
    try:
        column = frame.column(expected.column)
    except KeyError:
        return ()
    return usable_operators(column) if expected.kind == "operator" else _values(column.name, frame)


def _values(name: str, frame: Frame) -> list[str]:
    distinct, codes = frame.distinct(name)
    counts = np.bincount(codes[codes >= 0], minlength=len(distinct))
    scale = 100 if frame.column(name).kind == "percent" else 1
    texts: dict[str, None] = {}
    for at in np.argsort(-counts, kind="stable"):
        cell = distinct[at]
        for value in cell if isinstance(cell, tuple) else (cell,):
            is_number = isinstance(value, int | float)
            texts[f"{scale * value:.10g}" if is_number else quote(str(value))] = None
    return list(texts)


def _matching(typed: str, candidates: Iterable[str]) -> tuple[str, ...]:
    begin, inside = [], []
    for candidate in candidates:
        plain = candidate.casefold().lstrip('"')
        if plain.startswith(typed):
            begin.append(candidate)
        elif typed in plain:
            inside.append(candidate)
    return tuple([*begin, *inside][:MOST])
