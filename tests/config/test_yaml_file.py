"""A file read by its parts means what the whole file means, or is refused with the same words."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lbc.config import Experiment, dump_experiment
from lbc.config.strict_yaml import ExperimentError, parse_yaml
from lbc.config.yaml_file import read_yaml

NOISE = ["", "'", '"', "{", "}", "\n", "\n  ", ": ", "#"]
WRITTEN = dump_experiment(Experiment(skip=("a", "b: {c"), layers={"x.y": "dense", "'": "dense"}))
LINES = [
    *WRITTEN.splitlines(),
    "'own': 1", "---", "...", "# name: x", "key: '", 'key: "', "  key: [", "key:", "  - a", "- a",
    "key: |", "? a", "  b: 1", "   b: 1", "\tb: 1", "a: &x 1", "b: *x", "%YAML 1.2",
    "name: !!str x", "}",
]  # fmt: skip


def outcome(text: str, file: Path) -> object:
    try:
        value, line_of = parse_yaml(text, str(file))
        return (value, line_of(("training", "epochs"))) if isinstance(value, dict) else None
    except ExperimentError as error:
        return str(error)


def outcome_by_parts(file: Path) -> object:
    try:
        value, line_of = read_yaml(file)
    except ExperimentError as error:
        return None if "The file" in str(error) else str(error)
    return value, line_of(("training", "epochs"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.lists(st.sampled_from(LINES), max_size=9), st.booleans())
def test_any_mixture_of_lines_is_read_alike(tmp_path: Path, lines: list[str], after: bool) -> None:
    file, text = tmp_path / "a.yaml", "\n".join(lines) + "\n"
    text = WRITTEN + text if after else text
    file.write_text(text)
    assert outcome_by_parts(file) == outcome(text, file)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(st.integers(0, len(WRITTEN)), st.sampled_from(NOISE))
def test_a_damaged_experiment_is_read_alike(tmp_path: Path, at: int, noise: str) -> None:
    file, text = tmp_path / "a.yaml", WRITTEN[:at] + noise + WRITTEN[at + 1 :]
    file.write_text(text)
    assert outcome_by_parts(file) == outcome(text, file)


def test_a_line_between_two_parts_is_not_lost(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("data:\n  name: x\n  workers: [0]\n'own key': 1\nseed: 2\n")
    data, _ = read_yaml(tmp_path / "a.yaml")
    assert data == {"data": {"name": "x", "workers": [0]}, "own key": 1, "seed": 2}


def test_two_files_do_not_share_what_one_of_them_changes(tmp_path: Path) -> None:
    for name in ("first.yaml", "second.yaml"):
        (tmp_path / name).write_text("training:\n  epochs: 3\n  batch_size: 4\nseed: 1\n")
    data, line_of = read_yaml(tmp_path / "first.yaml")
    data["seed"] = 2
    assert read_yaml(tmp_path / "second.yaml")[0]["seed"] == 1
    assert line_of(("training", "batch_size")) == 3


PIECES = ["1", "0", "e", "E", ".", "-", "+", ":", "_", "x", "inf", "nan", "true", "null", "~", " "]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.lists(st.sampled_from(PIECES), max_size=6).map("".join), st.booleans())
def test_any_simple_value_is_read_alike(tmp_path: Path, value: str, inner: bool) -> None:
    file, text = (
        tmp_path / "a.yaml",
        f"training:\n  epochs: {value}\n" if inner else f"b: {value}\n",
    )
    file.write_text(text)
    assert repr(outcome_by_parts(file)) == repr(outcome(text, file))


@pytest.mark.parametrize("text", ["a:\n  b: 1\nc: 2\n  d: 3\n", "a:\n  b: 1\n c: 2\n"])
def test_wrong_indentation_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ExperimentError, match=r"a\.yaml:\d"):
        read_yaml(tmp_path / "a.yaml")
