"""Reading YAML files: parts that many have in common are parsed once, for ten thousand runs."""

from __future__ import annotations

import re
from functools import cache, lru_cache
from pathlib import Path

from lbc.config.strict_yaml import ExperimentError, LineOf, parse_yaml, plain_scalar, problem_error
from lbc.files.os_errors import explain
from lbc.files.small_file import read_small

SIZE_LIMIT = 1 << 16
"""Bytes, which take a second to parse; an experiment has about one thousand."""

_KEY = r"[A-Za-z_][A-Za-z0-9_]*:(?: |$)"
_PART = re.compile(rf"^(?={_KEY})", re.MULTILINE)
_INNER_PART = re.compile(rf"^(?=  {_KEY})", re.MULTILINE)
_HEAD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*:\Z")
_SIMPLE_LINE = re.compile(
    r"([A-Za-z_][A-Za-z0-9_]*): ([-+.]?[A-Za-z0-9_](?:[A-Za-z0-9_.+:-]*[A-Za-z0-9_.+-])?)\n?"
)
_DOCUMENT_MARK = re.compile(r"^(?:---|\.\.\.)", re.MULTILINE)


def read_yaml(path: Path) -> tuple[dict[str, object], LineOf]:
    """Read a mapping, and the line of each key path or of its nearest existing parent.

    Raises ExperimentError if the file cannot be read, is not YAML, or is not a mapping.
    """
    text = _read_text(path)
    known = _parse_parts(text)
    if known is not None:
        lines = cache(lambda: parse_yaml(text, "")[1])
        return known, lambda path: lines()(path)
    data, line_of = parse_yaml(text, str(path))
    if data is None:
        raise problem_error(str(path), "The file is empty: write at least 'version: 1'.")
    if not isinstance(data, dict):
        raise problem_error(str(path), "The file must consist of 'key: value' lines.", 1)
    return data, line_of


def _read_text(path: Path) -> str:
    file = str(path)
    try:
        content = read_small(path, SIZE_LIMIT)
    except FileNotFoundError:
        raise problem_error(file, "The file does not exist: check its name and folder.") from None
    except IsADirectoryError:
        raise problem_error(file, "This is a folder: choose the .yaml file inside it.") from None
    except OSError as error:
        raise problem_error(file, explain(error, "The file cannot be read")) from None
    except ValueError:
        raise problem_error(file, "This is not a valid file name.") from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise problem_error(file, "The file is not UTF-8 text: save it as UTF-8.", line) from None


def _parse_parts(text: str) -> dict[str, object] | None:
    """The mapping that ``parse_yaml`` would return, or None where it must be asked.

    A text whose parts are valid one by one, as those that ``dump_yaml`` writes, means the same as
    its parts: an open quote or bracket makes a part invalid. Callers must not change the values.
    """
    first, *parts = _PART.split(text)
    if first or _DOCUMENT_MARK.search(text):
        return None
    return _merge([_parse(part) for part in parts])


@lru_cache(maxsize=2048)
def _parse(part: str) -> dict[str, object] | None:
    head, _, rest = part.partition("\n")
    first, *parts = _INNER_PART.split(rest)
    if parts and not first and _HEAD.match(head):
        inner = _merge([_parse_section(head, each) for each in parts])
        return None if inner is None else {head[:-1]: inner}
    return _parse_mapping(part)


@lru_cache(maxsize=2048)
def _parse_section(head: str, part: str) -> dict[str, object] | None:
    if simple := _SIMPLE_LINE.fullmatch(part, 2):
        return {simple[1]: plain_scalar(simple[2])}
    whole = _parse_mapping(f"{head}\n{part}") or {}
    section = whole.get(head[:-1])
    # More keys: a line that is not indented, and does not look like the start of a part.
    return section if len(whole) == 1 and isinstance(section, dict) else None


def _parse_mapping(text: str) -> dict[str, object] | None:
    if simple := _SIMPLE_LINE.fullmatch(text):
        return {simple[1]: plain_scalar(simple[2])}
    try:
        value, _ = parse_yaml(text, "")
    except ExperimentError:
        return None
    return value if isinstance(value, dict) else None


def _merge(parts: list[dict[str, object] | None]) -> dict[str, object] | None:
    merged: dict[str, object] = {}
    for part in parts:
        if part is None or not merged.keys().isdisjoint(part):
            return None
        merged.update(part)
    return merged or None
