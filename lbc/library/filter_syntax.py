"""The language of filters: ``accuracy > 97 and (n:m = 2:4 or tag ~ "best of") and not star``.

    filter      any of:  filter and filter,  filter or filter,  not filter,  (filter)
    condition   COLUMN OPERATOR VALUE,  has COLUMN,  missing COLUMN,  or COLUMN for has COLUMN
    operator    =  !=  <  <=  >  >=,  ~ contains,  !~ does not contain

``and`` binds more tightly than ``or``. Names and values with other characters are quoted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

DEPTH_LIMIT = 50
"""Maximum nesting of parentheses and ``not``."""

OPERATORS = ("=", "!=", "<", "<=", ">", ">=", "~", "!~")
UNITS = ("%", "s", "m", "min", "h", "d")

_KEYWORDS = ("and", "or", "not", "has", "missing")
_SIGNS = {"==": "=", "≤": "<=", "≥": ">=", "≠": "!="}
_WORD = r"""[^\s()<>=!~"'≤≥≠]+"""
_TOKEN = re.compile(
    r"(?P<bracket>[()])|(?P<operator>[<>!=]=|!~|[=<>~≤≥≠])"
    r"""|(?P<quoted>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
    rf"|(?P<word>{_WORD})|(?P<other>\S)",
    re.DOTALL,
)
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?", re.ASCII)


class FilterError(ValueError):
    """A filter that cannot be used.

    ``start`` and ``length`` are those of the word to correct, and ``suggestion`` is what may
    replace it, if anything.
    """

    def __init__(self, message: str, start: int, length: int, suggestion: str = "") -> None:
        super().__init__(message)
        self.start, self.length, self.suggestion = start, length, suggestion


class Token(NamedTuple):
    """A word of a filter; ``text`` is without quotes."""

    kind: str
    text: str
    start: int
    end: int

    @property
    def keyword(self) -> str:
        """The token as a keyword, or nothing."""
        text = self.text.lower()
        return text if self.kind == "word" and text in _KEYWORDS else ""


@dataclass(frozen=True)
class Comparison:
    """``column operator value``; ``places`` are those of column, operator and value."""

    column: str
    operator: str
    value: str
    places: tuple[tuple[int, int], ...] = field(default=((0, 0),) * 3, compare=False)


@dataclass(frozen=True)
class Presence:
    """Whether a run has a value in a column, or has none."""

    column: str
    present: bool = True
    places: tuple[tuple[int, int], ...] = field(default=((0, 0),), compare=False)


@dataclass(frozen=True)
class Not:
    """The runs that ``part`` leaves out."""

    part: Node


@dataclass(frozen=True)
class Joined:
    """The runs that all parts let through (``and``), or any (``or``); two parts or more."""

    word: Literal["and", "or"]
    parts: tuple[Node, ...]


Node = Comparison | Presence | Not | Joined


class Expected(NamedTuple):
    """What may follow the last word of a filter; ``column`` is the one before, if it matters."""

    kind: Literal["column", "operator", "value", "connective"]
    column: str = ""


def tokenize(text: str) -> list[Token]:
    """The words of a filter; kind "other" is for characters that no filter has."""
    tokens = []
    for match in _TOKEN.finditer(text):
        kind, found = str(match.lastgroup), match[0]
        if kind == "quoted":
            found = re.sub(r"\\(.)", r"\1", found[1:-1], flags=re.DOTALL)
        elif kind == "operator":
            found = _SIGNS.get(found, found)
        tokens.append(Token(kind, found, *match.span()))
    return tokens


def quote(text: str) -> str:
    """A name or value as a filter has to spell it."""
    if re.fullmatch(_WORD, text) and text.lower() not in _KEYWORDS:
        return text
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def parse_number(text: str) -> float | None:
    """A decimal number, or None if the text is something else."""
    return float(text) if _NUMBER.fullmatch(text) else None


def parse(text: str) -> Node | None:
    """The filter that a text describes, None if it is empty. Raises FilterError."""
    tokens = tokenize(text)
    return Parser(tokens, len(text)).parse() if tokens else None


def format_filter(node: Node | None) -> str:
    """Text that ``parse`` reads back as an equal filter."""
    match node:
        case None:
            return ""
        case Comparison(column, operator, value):
            return f"{quote(column)} {operator} {quote(value)}"
        case Presence(column, present):
            return f"{'has' if present else 'missing'} {quote(column)}"
        case Not(part):
            return f"not ({format_filter(part)})"
    return f" {node.word} ".join(
        f"({format_filter(part)})" if isinstance(part, Joined) else format_filter(part)
        for part in node.parts
    )


class Parser:
    """Reads tokens; ``expected`` says what could have followed where they end."""

    def __init__(self, tokens: list[Token], end: int) -> None:
        self.expected = Expected("column")
        self._tokens = tokens
        self._end = end
        self._next = 0
        self._depth = 0

    def parse(self) -> Node:
        """The filter. Raises FilterError."""
        node = self._either()
        token = self._peek()
        if token is None:
            return node
        if (token.kind, token.text) == ("bracket", ")"):
            raise self._error("This parenthesis closes nothing: remove it.", token)
        if self.expected.kind == "operator":
            column = self.expected.column
            raise self._error(f"Put an operator between {column!r} and this: = or another.", token)
        raise self._error("Put 'and' or 'or' before this.", token)

    def _either(self) -> Node:
        return self._joined("or", [self._both()])

    def _both(self) -> Node:
        return self._joined("and", [self._condition()])

    def _joined(self, word: Literal["and", "or"], parts: list[Node]) -> Node:
        while (token := self._peek()) is not None and token.keyword == word:
            self._take(Expected("column"))
            parts.append(self._both() if word == "or" else self._condition())
        return parts[0] if len(parts) == 1 else Joined(word, tuple(parts))

    def _condition(self) -> Node:
        token = self._take(Expected("column"))
        if token.keyword == "not" or (token.kind, token.text) == ("bracket", "("):
            return self._nested(token)
        if token.keyword in ("has", "missing"):
            column = self._name(self._take(Expected("column")))
            self.expected = Expected("connective")
            return Presence(column.text, token.keyword == "has", ((column.start, column.end),))
        return self._comparison(self._name(token))

    def _nested(self, token: Token) -> Node:
        self._depth += 1
        if self._depth > DEPTH_LIMIT:
            raise self._error(f"More than {DEPTH_LIMIT} conditions are nested here.", token)
        self.expected = Expected("column")
        if token.keyword == "not":
            node: Node = Not(self._condition())
        else:
            node = self._either()
            closing = self._peek()
            if closing is None or (closing.kind, closing.text) != ("bracket", ")"):
                raise self._error("This parenthesis is not closed: add ')'.", token)
            self._next += 1
            self.expected = Expected("connective")
        self._depth -= 1
        return node

    def _comparison(self, column: Token) -> Node:
        self.expected = Expected("operator", column.text)
        operator = self._peek()
        if operator is None or operator.kind != "operator":
            return Presence(column.text, True, ((column.start, column.end),))
        self._next += 1
        value = self._take(Expected("value", column.text))
        if value.kind not in ("word", "quoted"):
            raise self._error(f"A value must follow {operator.text!r}.", value)
        text, end = value.text, value.end
        unit = self._peek()
        if unit and unit.kind == "word" and unit.text in UNITS and parse_number(text) is not None:
            text, end = f"{text} {unit.text}", unit.end
            self._next += 1
        self.expected = Expected("connective")
        places = ((column.start, column.end), (operator.start, operator.end), (value.start, end))
        return Comparison(column.text, operator.text, text, places)

    def _peek(self) -> Token | None:
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def _take(self, expected: Expected) -> Token:
        self.expected = expected
        token = self._peek()
        if token is None:
            what = {"column": "name of a column"}.get(expected.kind, expected.kind)
            raise FilterError(f"The filter ends too early: add a {what}.", self._end, 0)
        if token.text in ("'", '"') and token.kind == "other":
            raise self._error("This quotation mark has no second one: add it.", token)
        self._next += 1
        return token

    def _name(self, token: Token) -> Token:
        if token.kind not in ("word", "quoted") or token.keyword:
            raise self._error("The name of a column must stand here.", token)
        return token

    def _error(self, message: str, token: Token) -> FilterError:
        return FilterError(message, token.start, token.end - token.start)
