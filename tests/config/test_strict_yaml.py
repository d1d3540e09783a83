"""Strict YAML: values mean what they look like, and bad files give clear errors."""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbc.config.strict_yaml import (
    DEPTH_LIMIT,
    ExperimentError,
    Problem,
    apply_settings,
    dump_yaml,
    parse_yaml,
)
from lbc.config.yaml_file import SIZE_LIMIT, read_yaml


def value(text: str) -> object:
    return parse_yaml(text, "text")[0]


def error_message(text: str) -> str:
    with pytest.raises(ExperimentError) as caught:
        parse_yaml(text, "a.yaml")
    return str(caught.value)


def file_error_message(path: Path) -> str:
    with pytest.raises(ExperimentError) as caught:
        read_yaml(path)
    assert caught.value.file == str(path)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1e-3", 0.001),
        ("1E5", 100000.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("-2.5e+3", -2500.0),
        (".inf", float("inf")),
        ("-.INF", float("-inf")),
        ("12", 12),
        ("-3", -3),
        ("007", 7),
        ("0o17", 15),
        ("0x1F", 31),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("1e", "1e"),
        (".", "."),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        *((word, word) for word in ("on", "Off", "yes", "NO", "y", "n", "tRue")),
        ("2:4", "2:4"),
        ("12:30", "12:30"),
        ("1:30:00", "1:30:00"),
        ("2026-01-31", "2026-01-31"),
        ("2026-01-31 10:00:00", "2026-01-31 10:00:00"),
        ("=", "="),
        ("<<", "<<"),
        ("'12'", "12"),
        ('"true"', "true"),
        ("[2:4, 1:8]", ["2:4", "1:8"]),
        ("{pattern: 2:4}", {"pattern": "2:4"}),
    ],
)
def test_a_scalar_has_the_type_it_looks_like(text: str, expected: object) -> None:
    found = value(text)
    assert found == expected
    assert type(found) is type(expected)


def test_nan_is_a_float() -> None:
    assert str(value(".nan")) == "nan"


def test_an_integer_of_ten_thousand_digits_is_infinite() -> None:
    assert value("9" * 10_000) == float("inf")


def test_keys_are_always_text() -> None:
    text = "on: 1\n0: 2\n1e3: 3\ntrue: 4\n~: 5\n2:4: 6\n<<: {a: 7}"
    assert value(text) == {
        "on": 1, "0": 2, "1e3": 3, "true": 4, "~": 5, "2:4": 6, "<<": {"a": 7}
    }  # fmt: skip


def test_each_key_path_has_a_line() -> None:
    _, line_of = parse_yaml("# note\na: 1\nb:\n  c: 2\n  d.e: {f: 3}\nl:\n  - x\n  - y\n", "text")
    lines = {("a",): 2, ("b",): 3, ("b", "c"): 4, ("b", "d.e", "f"): 5, ("l", 0): 7, ("l", 1): 8}
    assert {path: line_of(path) for path in lines} == lines
    assert line_of(("b", "c", "absent")) == 4, "a missing key has the line of its parent"
    assert line_of(("absent",)) is None


def test_every_duplicate_key_is_reported_with_both_lines() -> None:
    assert error_message("a: 1\nb:\n  c: 1\n  d: 2\n  'c': 3\na: 2\n") == (
        "a.yaml:5: b.c: The key is written twice, on lines 3 and 5: remove one.\n"
        "a.yaml:6: a: The key is written twice, on lines 1 and 6: remove one."
    )


def test_a_tag_runs_no_code(tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    for tag in (
        f'!!python/object/apply:pathlib.Path.touch ["{witness}"]',
        f'!!python/object/apply:os.system ["touch {witness}"]',
        f'!!python/object/new:os.mkdir ["{witness}"]',
    ):
        message = error_message(f"a: 1\nb: {tag}\n")
        assert message.startswith("a.yaml:2: The tag 'tag:yaml.org,2002:python/object")
        assert "is not supported" in message
    assert not witness.exists()


@pytest.mark.parametrize("tag", ["!!str 5", "!!int '5'", "!mine {a: 1}", "!!set [a]", "! x"])
def test_every_other_tag_is_rejected_too(tag: str) -> None:
    assert error_message(f"a: {tag}").startswith("a.yaml:1: The tag ")


def test_an_alias_is_rejected_before_it_is_expanded() -> None:
    bomb = "a0: &a0 [x, x]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 30)
    )
    assert (
        error_message(bomb) == "a.yaml:2: The alias *a0 is not supported: write the value instead."
    )
    assert error_message("a: &a [*a]").startswith("a.yaml:1: The alias *a is not supported")


@pytest.mark.parametrize("text", ["[" * 50_000, "- " * 50_000, "{a: " * 5_000])
def test_deep_nesting_cannot_exhaust_the_stack(text: str) -> None:
    assert f"More than {DEPTH_LIMIT} collections" in error_message(text)


def test_nesting_below_the_limit_is_read() -> None:
    depth = DEPTH_LIMIT - 1
    assert value("[" * depth + "]" * depth) is not None


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\nb: {c: 1", 2, "truncated"),
        ("a: 1\nb: 'open", 2, "truncated"),
        ("a: 1\nb: [1, 2", 2, "truncated"),
        ("a: 1\n\tb: 2", 2, "tab"),
        ("a: 1\nb: 2: 4", 2, "not valid YAML"),
        ("a: 1\n  b: 2", 2, "not valid YAML"),
        ("a: 1\n---\nb: 2", 2, "not valid YAML"),
        ("? [a]\n: 1", 1, "A key must be plain text"),
        ("a: 1\nb: \x07", 2, "character"),
    ],
)
def test_bad_syntax_names_its_line(text: str, line: int, words: str) -> None:
    message = error_message(text)
    assert message.startswith(f"a.yaml:{line}: ")
    assert words in message
    assert "\n" not in message


def test_an_invalid_escape_is_reported() -> None:
    assert "escape" in error_message(r'a: "\UFFFFFFFF"')


def test_a_file_with_a_byte_order_mark_and_crlf_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes("\ufeffname: größe\r\nseed: 3\r\n".encode())
    data, line_of = read_yaml(path)
    assert data == {"name": "größe", "seed": 3}
    assert line_of(("seed",)) == 2


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        (b"", None, "empty"),
        (b"# only a comment\n", None, "empty"),
        (b"- 1\n- 2\n", 1, "'key: value'"),
        (b"just words\n", 1, "'key: value'"),
        (b"a: 1\nb: gr\xf6\xdfe\n", 2, "UTF-8"),
        ("a: 1\n".encode("utf-16"), 1, "UTF-8"),
        (b"\x7fELF\x02\x01\x01\x00\x00\x00", 1, "character"),
        (pickle.dumps({"a": 1}), 1, "UTF-8"),
        (b"a: 1\n" * (SIZE_LIMIT // 5 + 1), None, "larger than 64 KiB"),
    ],
)
def test_a_file_that_is_not_an_experiment_is_rejected(
    tmp_path: Path, content: bytes, line: int | None, words: str
) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(content)
    message = file_error_message(path)
    assert message.startswith(f"{path}: " if line is None else f"{path}:{line}: ")
    assert words in message


def test_a_path_that_cannot_be_read_is_reported(tmp_path: Path) -> None:
    assert "does not exist" in file_error_message(tmp_path / "absent.yaml")
    assert "folder" in file_error_message(tmp_path)
    assert "valid file name" in file_error_message(Path("a\0b.yaml"))
    (tmp_path / "file").touch()
    assert "cannot be read" in file_error_message(tmp_path / "file" / "a.yaml")


@pytest.mark.skipif(
    sys.platform == "win32" or not hasattr(os, "geteuid") or os.geteuid() == 0,
    reason="needs a user who is subject to file permissions",
)
def test_a_file_without_read_permission_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("a: 1")
    path.chmod(0)
    assert "cannot be read" in file_error_message(path)


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8")))
def test_any_bytes_give_a_value_or_problems(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.yaml"
    path.write_bytes(content)
    try:
        read_yaml(path)
    except ExperimentError as error:
        assert error.problems
        assert len(str(error).splitlines()) == len(error.problems)


@given(st.text("{}[]:,-?&*!|>'\"%@`# \n\tab1.~<=\\U", max_size=60))
def test_any_punctuation_gives_a_value_or_problems(text: str) -> None:
    try:
        parse_yaml(text, "text")
    except ExperimentError as error:
        assert error.problems


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.sampled_from(["on", "no", "1e-3", "2:4", "12:30", "2026-01-31", "~", "<<", "0x1", ".inf"])
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=8), values, max_size=4))
def test_a_written_value_is_read_back_equal(data: dict[str, object]) -> None:
    assert value(dump_yaml(data)) == data


def test_writing_keeps_the_key_order_and_uses_no_aliases() -> None:
    shared = [1, 2]
    text = dump_yaml({"z": shared, "a": shared, "pattern": "2:4", "start": 8.0})
    assert text == "z: [1, 2]\na: [1, 2]\npattern: 2:4\nstart: 8\n"


def test_an_error_lists_one_problem_per_line() -> None:
    error = ExperimentError(
        "a.yaml",
        [
            Problem("", None, "All of it."),
            Problem("optimizer.lr", 9, "Too much."),
            Problem("model.width", None, "Too wide.", from_setting=True),
        ],
    )
    assert str(error).splitlines() == [
        "a.yaml: All of it.",
        "a.yaml:9: optimizer.lr: Too much.",
        "--set model.width: Too wide.",
    ]
    assert [bad.path for bad in error.problems] == ["", "optimizer.lr", "model.width"]
    assert str(pickle.loads(pickle.dumps(error))) == str(error), "it can cross processes"


def test_settings_override_a_copy_of_the_data() -> None:
    data: dict[str, object] = {"model": {"name": "mlp", "width": 64}, "seed": 1}
    settings = ["model.width = 32", "layers.a.0.b=1:4", "seed=7", "seed=8", "skip=[a, 'b.*']"]
    changed, paths, problems = apply_settings(data, settings)
    assert changed == {
        "model": {"name": "mlp", "width": 32},
        "seed": 8,
        "layers": {"a.0.b": "1:4"},
        "skip": ["a", "b.*"],
    }
    assert paths == [("model", "width"), ("layers", "a.0.b"), ("seed",), ("seed",), ("skip",)]
    assert problems == []
    assert data == {"model": {"name": "mlp", "width": 64}, "seed": 1}


@pytest.mark.parametrize(
    ("setting", "path", "words"),
    [
        ("nonsense", "nonsense", "key=value"),
        ("=3", "=3", "key=value"),
        ("model.=3", "model.=3", "key=value"),
        ("seed.x=3", "seed.x", "The file sets seed to 3, not to a group."),
        ("lr=[1, 2", "lr", "truncated"),
        ("lr={a: 1, a: 2}", "lr", "twice"),
        ("lr=!!python/name:os.system {}", "lr", "is not supported"),
        ("lr=*a", "lr", "is not supported"),
    ],
)
def test_a_setting_that_cannot_be_parsed_is_reported(setting: str, path: str, words: str) -> None:
    changed, paths, (problem,) = apply_settings({"seed": 3}, [setting])
    assert (changed, paths) == ({"seed": 3}, [])
    assert problem.path == path and problem.from_setting
    assert words in problem.message
