"""Strict YAML: a value means what it looks like, and every key knows its line."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

SIZE_LIMIT = 1 << 20
"""Bytes. An experiment takes about one thousand; more than a million is some other file."""

DEPTH_LIMIT = 20
"""Collections inside each other, so that no file can exhaust the interpreter's stack."""

KeyPath = tuple[str | int, ...]
LineOf = Callable[[KeyPath], int | None]


@dataclass(frozen=True)
class Problem:
    """One thing to correct in an experiment.

    ``path`` is dotted (``optimizer.momentum``) and empty where the whole file is meant; ``line``
    counts from 1; ``from_setting`` says that the value came from ``--set``, not from the file.
    """

    path: str
    line: int | None
    message: str
    from_setting: bool = False

    def located(self, file: str) -> str:
        """One line of text: where, which key, what to do."""
        if self.from_setting:
            return f"--set {self.path}: {self.message}"
        where = file if self.line is None else f"{file}:{self.line}"
        return ": ".join(part for part in (where, self.path, self.message) if part)


class ExperimentError(Exception):
    """An experiment that cannot be used, with everything that is wrong in it."""

    def __init__(self, file: str, problems: Sequence[Problem]) -> None:
        super().__init__(file, tuple(problems))
        self.file = file
        self.problems = tuple(problems)

    @property
    def problem_paths(self) -> tuple[str, ...]:
        """The dotted path of every problem, in the order of ``problems``."""
        return tuple(problem.path for problem in self.problems)

    def __str__(self) -> str:
        return "\n".join(problem.located(self.file) for problem in self.problems)


def dotted(path: KeyPath) -> str:
    """``("layers", "conv1")`` → ``"layers.conv1"``, on one line whatever the keys hold."""
    return ".".join(key if key.isprintable() else repr(key)[1:-1] for key in map(str, path))


def shown(value: object) -> str:
    """A value as a sentence may quote it: short, on one line, spelt as in YAML."""
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


def read_yaml(path: Path) -> tuple[dict[str, object], LineOf]:
    """The mapping a file holds, and the line of each key path (or of the nearest one above it).

    Raises ExperimentError where the file cannot be read, is not YAML, or holds no mapping.
    """
    data, line_of = parse_yaml(_read_text(path), str(path))
    if data is None:
        raise _error(str(path), "The file is empty: write at least 'version: 1'.")
    if not isinstance(data, dict):
        raise _error(str(path), "The file must hold 'key: value' lines from its first line on.", 1)
    return data, line_of


def parse_yaml(text: str, file: str) -> tuple[object, LineOf]:
    """Any YAML value, made of dict (its keys always text), list, str, int, float, bool and None.

    Raises ExperimentError; ``file`` is only named in it.
    """
    reader = _NodeReader()
    try:
        node = _compose(text)
    except _RefusedError as refused:
        raise _error(file, refused.sentence, refused.line) from None
    except yaml.MarkedYAMLError as error:
        raise _error(file, _syntax_sentence(error), _line(error)) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _error(file, "A character here can be no part of a text file.", line) from None
    except (ValueError, OverflowError):  # "\UFFFFFFFF": PyYAML hands it to chr() unchecked
        raise _error(file, r"A \U escape names a character that does not exist.") from None
    value = None if node is None else reader.value(node, ())
    if reader.problems:
        raise ExperimentError(file, reader.problems)
    return value, reader.line_of


def dump_yaml(data: Mapping[str, object]) -> str:
    """YAML text that ``parse_yaml`` reads back to an equal value, in the mapping's own order."""
    return yaml.dump(
        dict(data),
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=None,
        width=100,
    )


def with_settings(
    data: Mapping[str, object], settings: Sequence[str]
) -> tuple[dict[str, object], list[KeyPath], list[Problem]]:
    """The data with settings like ``"model.width=32"`` over it, their paths, and their problems.

    What follows the first dot is one key, since a layer's name holds dots itself.
    """
    result = dict(data)
    paths: list[KeyPath] = []
    problems: list[Problem] = []
    for setting in settings:
        key, equals, text = setting.partition("=")
        path = tuple(part.strip() for part in key.split(".", 1))
        if not equals or not all(path):
            message = "Write it as key=value, like model.width=32."
            problems.append(Problem(dotted((setting,)), None, message, True))
            continue
        try:
            value, _ = parse_yaml(text, setting)
        except ExperimentError as error:
            problems += [Problem(dotted(path), None, bad.message, True) for bad in error.problems]
            continue
        if len(path) == 2:
            section = result.get(path[0], {})
            if not isinstance(section, dict):
                message = f"In the file {path[0]} is {shown(section)}, which holds no settings."
                problems.append(Problem(dotted(path), None, message, True))
                continue
            value = section | {path[1]: value}
        result[path[0]] = value
        paths.append(path)
    return result, paths, problems


def _read_text(path: Path) -> str:
    file = str(path)
    try:
        with path.open("rb") as stream:
            content = stream.read(SIZE_LIMIT + 1)
    except FileNotFoundError:
        raise _error(file, "There is no such file: check its name and folder.") from None
    except IsADirectoryError:
        raise _error(file, "This is a folder: name the .yaml file inside it.") from None
    except OSError as error:
        raise _error(file, f"The file cannot be read: {error.strerror or error}.") from None
    except ValueError:
        raise _error(file, "This is not a possible file name.") from None
    if len(content) > SIZE_LIMIT:
        raise _error(file, "The file is larger than 1 MiB: this is not an experiment.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _error(file, "The file is not UTF-8 text: save it as UTF-8.", line) from None


def _error(file: str, message: str, line: int | None = None) -> ExperimentError:
    return ExperimentError(file, [Problem("", line, message)])


def _line(error: yaml.MarkedYAMLError) -> int | None:
    mark = error.problem_mark or error.context_mark
    return None if mark is None else mark.line + 1


def _syntax_sentence(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or error.context or "no reason given"
    if "'\\t'" in problem:
        return "A tab cannot indent YAML: use spaces."
    if "<stream end>" in problem or "end of stream" in problem:
        return f"The text ends too early, is it cut off? ({problem})"
    return f"This is not valid YAML: {problem}."


class _RefusedError(yaml.YAMLError):
    """Valid YAML that an experiment must not use."""

    def __init__(self, sentence: str, event: yaml.Event) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.line = None if event.start_mark is None else event.start_mark.line + 1


_TAG = "tag:yaml.org,2002:"

# The core schema of YAML 1.2. PyYAML follows 1.1, where 1e-3 is text, `on` is true, 12:30 is 750
# and 2026-01-01 a date. No integer is longer than 300 digits, so that each one fits a float.
_PLAIN_SCALARS = {
    "null": r"(?:|~|null|Null|NULL)\Z",
    "bool": r"(?:true|True|TRUE|false|False|FALSE)\Z",
    "int": r"(?:[-+]?[0-9]{1,300}|0o[0-7]{1,300}|0x[0-9a-fA-F]{1,240})\Z",
    "float": r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z",
}


class _Loader(yaml.SafeLoader):
    """Only composes nodes: PyYAML's constructors, which tags would choose, are never called."""

    yaml_implicit_resolvers = {}  # noqa: RUF012  (PyYAML's name; filled below)
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            raise _RefusedError(
                f"The alias *{event.anchor} is refused: write the value out.", event
            )
        if (tag := getattr(event, "tag", None)) is not None:
            raise _RefusedError(
                f"The tag {tag!r} is refused: write the plain value, in quotes to make it text.",
                event,
            )
        if self.depth == DEPTH_LIMIT:
            raise _RefusedError(
                f"More than {DEPTH_LIMIT} collections lie inside each other here.", event
            )
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
        # PyYAML quotes line breaks other than \n in a style that reads them back as spaces.
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
    """Turns nodes into values and notes the line of each."""

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
                self.problems.append(Problem(dotted(path), line, "A key must be plain text."))
                continue
            key_path = (*path, str(key_node.value))
            if key_path in self._lines:
                first = self._lines[key_path]
                message = f"The key is written twice, on lines {first} and {line}: remove one."
                self.problems.append(Problem(dotted(key_path), line, message))
                continue
            self._lines[key_path] = line
            result[str(key_node.value)] = self.value(value_node, key_path)
        return result


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
