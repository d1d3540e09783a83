"""Reading, validating and writing experiments as YAML files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from lbc.config.experiment import VERSION, Experiment
from lbc.config.strict_yaml import (
    ExperimentError,
    KeyPath,
    LineOf,
    Problem,
    apply_settings,
    dump_yaml,
    join_keys,
)
from lbc.config.validation_messages import explain
from lbc.config.values import Section
from lbc.config.yaml_file import read_yaml
from lbc.files.home import expanded

S = TypeVar("S", bound=Section)

MIGRATIONS: dict[int, Callable[[dict[str, object]], dict[str, object]]] = {}
"""For each older version, the function that converts its mapping to the next version."""


def load_experiment(path: str | Path, settings: Sequence[str] = ()) -> Experiment:
    """Read a YAML file. ``settings`` such as ``"model.width=32"`` override its values.

    A relative path, such as ``data.file`` or ``training.weights``, is resolved against the folder
    of the YAML file; one that starts with ``~`` stays as it is until it is read.

    Raises ExperimentError, which lists every problem.
    """
    file = Path(path)
    content, line_of = read_yaml(file)
    data, set_paths, problems = apply_settings(_current(content, str(path), line_of), settings)
    experiment = _validated(data, str(path), line_of, set_paths, problems)
    return _located(file.parent.resolve(), experiment)


def _located(folder: Path, section: S) -> S:
    """The section, and those in it, with their relative paths below ``folder``."""
    located: dict[str, object] = {}
    for name, value in section:
        if isinstance(value, Section):
            located[name] = _located(folder, value)
        elif isinstance(value, Path) and not expanded(value).is_absolute():
            located[name] = _below(folder, value)
    return section.model_copy(update=located)


def _below(folder: Path, path: Path) -> Path:
    """``folder / path``, as messages show it: each ``..`` at the start leads to the parent."""
    parts = path.parts
    while parts and parts[0] == "..":
        folder, parts = folder.parent, parts[1:]
    return folder.joinpath(*parts)


def parse_experiment(
    data: Mapping[str, object], file: str = "experiment", settings: Sequence[str] = ()
) -> Experiment:
    """Validate plain YAML values, overridden by ``settings`` as in ``load_experiment``.

    Raises ExperimentError, which lists every problem.
    """
    current, set_paths, problems = apply_settings(_current(data, file, lambda _: None), settings)
    return _validated(current, file, lambda _: None, set_paths, problems)


def dump_experiment(experiment: Experiment) -> str:
    """Return YAML text that ``load_experiment`` reads back, if the data path is absolute."""
    return dump_yaml(to_document(experiment))


def to_document(experiment: Experiment) -> dict[str, Any]:
    """All settings as plain YAML values, which ``parse_experiment`` reads back."""
    document = experiment.model_dump(mode="json")
    if document["method"].keys() == {"name"}:
        document["method"] = document["method"]["name"]
    return document


def _current(data: Mapping[str, object], file: str, line_of: LineOf) -> dict[str, object]:
    version = data.get("version", VERSION)
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        return dict(data)  # validation reports it
    if version > VERSION:
        message = f"Version {version} is newer than the supported {VERSION}: update this program."
        raise ExperimentError(file, [Problem("version", line_of(("version",)), message)])
    result = dict(data)
    for step in range(version, VERSION):
        result = MIGRATIONS[step](result) | {"version": step + 1}
    return result


def _validated(
    data: dict[str, object],
    file: str,
    line_of: LineOf,
    set_paths: Sequence[KeyPath] = (),
    problems: Sequence[Problem] = (),
) -> Experiment:
    found = list(problems)
    try:
        experiment = Experiment.model_validate(data)
    except ValidationError as error:
        for details in error.errors(include_url=False):
            path, message = explain(details)
            line = line_of(path)
            from_setting = any(
                path[: len(key)] == key or (line is None and key[: len(path)] == path)
                for key in set_paths
            )
            found.append(
                Problem(join_keys(path), None if from_setting else line, message, from_setting)
            )
    if found:
        raise ExperimentError(file, sorted(found, key=lambda bad: bad.line or 0))
    return experiment
