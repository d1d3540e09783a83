"""A file of an experiment, and the problems that reading one reports."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from lbc.config import load_experiment, parse_experiment
from lbc.config.strict_yaml import ExperimentError


def problems(data: Mapping[str, object]) -> dict[str, str]:
    """The message for each dotted path."""
    with pytest.raises(ExperimentError) as caught:
        parse_experiment(data)
    found = {problem.path: problem.message for problem in caught.value.problems}
    assert len(found) == len(caught.value.problems)
    return found


def report(path: Path, *settings: str) -> list[str]:
    """The lines of a file's error, without its folder."""
    with pytest.raises(ExperimentError) as caught:
        load_experiment(path, settings)
    return str(caught.value).replace(f"{path.parent}/", "").splitlines()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file.yaml"
    path.write_text("version: 1\n")
    return path
