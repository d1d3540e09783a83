"""A strict subset of YAML: values mean what they look like, and every key has a line number."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import yaml
from yaml.constructor import ConstructorError

DEPTH_LIMIT = 20
"""Maximum nesting of collections, so that no file can exhaust the interpreter's stack."""

KeyPath = tuple[str | int, ...]
LineOf = Callable[[KeyPath], int | None]


@dataclass(frozen=True)
class Problem:
    """One error in an experiment.

    ``path`` is dotted (``optimizer.momentum``), or empty for the whole file; ``line`` counts from
    1; ``from_setting`` is true if the value came from ``--set`` instead of the file.
    """

    path: str
    line: int | None
    message: str
    from_setting: bool = False

    def format(self, file: str) -> str:
        """One line of text: location, key, message."""
        if self.from_setting:
            return f"--set {self.path}: {self.message}"
        location = file if self.line is None else f"{file}:{self.line}"
        return ": ".join(part for part in (location, self.path, self.message) if part)


class ExperimentError(Exception):
    """An invalid experiment, with all of its problems."""

    def __init__(self, file: str, problems: Sequence[Problem]) -> None:
        super().__init__(file, tuple(problems))
        self.file = file
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "\n".join(problem.format(self.file) for problem in self.problems)


def join_keys(path: KeyPath) -> str:
    """``("layers", "conv1")`` → ``"layers.conv1"``, always on one line."""
    return ".".join(key if key.isprintable() else repr(key)[1:-1] for key in map(str, path))


def quote(value: object) -> str:
    """Quote a value in an error message: short, on one line, spelled as in YAML."""
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case float() if value.is_integer() and abs(value) < 1e15:
            return str(int(value))
        case Mapping():
            return "a mapping"
        case list() | tuple():
            return "a list"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def parse_yaml(text: str, file: str) -> tuple[object, LineOf]:
    """Parse any YAML value into dict (keys are always str), list, str, int, float, bool or None.

    Raises ExperimentError, in which ``file`` is the name to report.
    """
    reader = _NodeReader()
    try:
        node = _compose(text)
    except yaml.MarkedYAMLError as error:
        raise problem_error(file, _syntax_message(error), _line(error)) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise problem_error(
            file, "This line has a character that is not allowed in YAML.", line
        ) from None
    except (ValueError, OverflowError):  # "\UFFFFFFFF": PyYAML passes it to chr() unchecked
        raise problem_error(file, r"A \U escape names a character that does not exist.") from None
    value = None if node is None else reader.value(node, ())
    if reader.problems:
        raise ExperimentError(file, reader.problems)
    return value, reader.line_of


def dump_yaml(data: Mapping[str, object]) -> str:
    """Return YAML text that ``parse_yaml`` reads back as an equal value; keeps the key order."""
    return yaml.dump(
        dict(data),
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=None,
        width=100,
    )


def apply_settings(
    data: Mapping[str, object], settings: Sequence[str]
) -> tuple[dict[str, object], list[KeyPath], list[Problem]]:
    """Apply settings like ``"model.width=32"``; return the new data, their paths and problems.

    Names of layers, which contain dots, are one key.
    """
    result, paths, problems = dict(data), list[KeyPath](), list[Problem]()
    for setting in settings:
        key, equals, text = setting.partition("=")
        most = 1 if key.strip().startswith("layers.") else -1
        path = tuple(part.strip() for part in key.split(".", most))
        try:
            if not equals or not all(path):
                path = (setting,)
                raise problem_error(setting, "Write it as key=value, like model.width=32.")
            value, _ = parse_yaml(text, setting)
            changed = _with_value(result, path, value, setting)
        except ExperimentError as error:
            dotted = join_keys(path)
            problems += [Problem(dotted, None, bad.message, True) for bad in error.problems]
        else:
            result = changed
            paths.append(path)
    return result, paths, problems


def _with_value(
    group: Mapping[str, object], path: Sequence[str], value: object, setting: str
) -> dict[str, object]:
    key, *rest = path
    if rest:
        inner = group.get(key, {})
        if key == "method" and isinstance(inner, str):  # the name alone is short for a group
            inner = {"name": inner}
        if not isinstance(inner, dict):
            raise problem_error(setting, f"The file sets {key} to {quote(inner)}, not to a group.")
        value = _with_value(inner, rest, value, setting)
    return {**group, key: value}


def problem_error(file: str, message: str, line: int | None = None) -> ExperimentError:
    """An error with one problem, of the whole file or of a line of it."""
    return ExperimentError(file, [Problem("", line, message)])


def _line(error: yaml.MarkedYAMLError) -> int | None:
    mark = error.problem_mark or error.context_mark
    return None if mark is None else mark.line + 1


def _syntax_message(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or error.context or "no reason given"
    if isinstance(error, ConstructorError):
        return problem
    if "'\\t'" in problem:
        return "YAML cannot be indented with tabs: use spaces."
    if "<stream end>" in problem or "end of stream" in problem:
        return f"The text ends unexpectedly: is it truncated? ({problem})"
    return f"This is not valid YAML: {problem}."


_TAG = "tag:yaml.org,2002:"

# The core schema of YAML 1.2. PyYAML implements 1.1, where 1e-3 is text, `on` is true, 12:30 is
# 750 and 2026-01-01 a date. Integers have at most 300 digits, so that every one fits a float.
_PLAIN_SCALARS = {
    "null": r"(?:|~|null|Null|NULL)\Z",
    "bool": r"(?:true|True|TRUE|false|False|FALSE)\Z",
    "int": r"(?:[-+]?[0-9]{1,300}|0o[0-7]{1,300}|0x[0-9a-fA-F]{1,240})\Z",
    "float": r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z",
}


class _Loader(yaml.SafeLoader):
    """Only composes nodes; never calls PyYAML's constructors, which tags select.

    Raises ConstructorError for valid YAML that experiments may not use.
    """

    yaml_implicit_resolvers = {}  # noqa: RUF012  (PyYAML's name; filled below)
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]
        unsupported = None
        if isinstance(event, yaml.AliasEvent):
            unsupported = f"The alias *{event.anchor} is not supported: write the value instead."
        elif (tag := getattr(event, "tag", None)) is not None:
            unsupported = (
                f"The tag {tag!r} is not supported: write a plain value, quoted if it is text."
            )
        elif self.depth == DEPTH_LIMIT:
            unsupported = f"More than {DEPTH_LIMIT} collections are nested here: flatten them."
        if unsupported:
            mark = cast("yaml.error.Mark", event.start_mark)
            raise ConstructorError(problem=unsupported, problem_mark=mark)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


class _Dumper(yaml.SafeDumper):
    yaml_implicit_resolvers = {}  # noqa: RUF012  (PyYAML's name; filled below)

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002
        return True

    def represent_number(self, value: float) -> yaml.ScalarNode:
        if value.is_integer() and abs(value) < 1e15:
            return self.represent_int(int(value))
        return self.represent_float(value)

    def represent_text(self, value: str) -> yaml.ScalarNode:
        # PyYAML's default style turns line breaks other than \n into spaces on reading.
        odd_break = any(char in value for char in "\r\x85\u2028\u2029")
        return self.represent_scalar(_TAG + "str", value, style='"' if odd_break else None)


_Dumper.add_representer(float, _Dumper.represent_number)
_Dumper.add_representer(str, _Dumper.represent_text)
for _name, _pattern in _PLAIN_SCALARS.items():
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(_TAG + _name, re.compile(_pattern), None)


def _compose(text: str) -> yaml.Node | None:
    loader = _Loader(text)
    try:
        return loader.get_single_node()
    finally:
        loader.dispose()


class _NodeReader:
    """Converts nodes to values and records the line of each."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self._lines: dict[KeyPath, int] = {}

    def line_of(self, path: KeyPath) -> int | None:
        known = (self._lines.get(path[:end]) for end in range(len(path), 0, -1))
        return next((line for line in known if line is not None), None)

    def value(self, node: yaml.Node, path: KeyPath) -> object:
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self._lines[*path, index] = item.start_mark.line + 1
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        return _scalar(node.tag.removeprefix(_TAG), str(node.value))

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, object]:
        result: dict[str, object] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.append(Problem(join_keys(path), line, "A key must be plain text."))
                continue
            key_path = (*path, str(key_node.value))
            if key_path in self._lines:
                first = self._lines[key_path]
                message = f"The key is written twice, on lines {first} and {line}: remove one."
                self.problems.append(Problem(join_keys(key_path), line, message))
                continue
            self._lines[key_path] = line
            result[str(key_node.value)] = self.value(value_node, key_path)
        return result


def plain_scalar(text: str) -> str | int | float | bool | None:
    """The value of a plain scalar, as YAML's core schema resolves it."""
    kinds = (kind for kind, pattern in _PLAIN_SCALARS.items() if re.match(pattern, text))
    return _scalar(next(kinds, "str"), text)


def _scalar(kind: str, text: str) -> str | int | float | bool | None:
    match kind:
        case "null":
            return None
        case "bool":
            return text.lower() == "true"
        case "int":
            return int(text, {"0x": 16, "0o": 8}.get(text[:2], 10))
        case "float":
            return float(re.sub(r"\.(?=[a-zA-Z])", "", text))  # .inf and .nan
        case _:
            return text
