"""A filter means what it says, or its error points at the word that is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lbc.library.columns import Frame
from lbc.library.completion import complete
from lbc.library.filter import filter_rows
from lbc.library.filter_syntax import (
    OPERATORS,
    Comparison,
    FilterError,
    Joined,
    Node,
    Not,
    Presence,
    format_filter,
    parse,
)
from lbc.library.run_summary import RunSummary
from lbc.runs.annotations import Annotations


def run(name: str, lr: float | str = 0.1, **fields: Any) -> RunSummary:
    notes = {key: fields.pop(key) for key in ("tags", "star", "note") if key in fields}
    settings = {"optimizer.lr": lr, "optimizer.nesterov": False, "schedule.kind": "step"}
    plain: dict[str, Any] = {
        "status": "finished",
        "pattern": "2:4",
        "seconds": 90.0,
        "epochs": 10,
    } | fields
    return RunSummary(Path(name), parameters=settings, annotations=Annotations(**notes), **plain)


FRAME = Frame([
    run("a", 0.1, accuracy=0.976, tags=("paper", "best of"), star=True, started="2026-11-02T10"),
    run("b", 0.05, accuracy=0.97, pattern="1:4", seconds=7200.0, parent="a"),
    run("c", 0.01, status="running", accuracies=(0.5, 0.9), epoch=5, started="2026-10-31T23"),
    run("Été (1)", "none", accuracy=float("nan"), note='say "and"'),
])  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "abcÉ"),
        ("accuracy > 97 and n:m = 2:4 and tag = paper", "a"),
        ("accuracy > 97.6", ""),
        ("accuracy >= 97.6 %", "a"),
        ("accuracy=97%", "b"),
        ("accuracy < 95", "c"),
        ("not accuracy > 97", "bcÉ"),
        ("accuracy != 97.6", "bcÉ"),
        ("has accuracy and missing parent", "ac"),
        ("n:m = 1:4 or status = RUNNING and lr_missing = 3", "error"),
        ("n:m = 1:4 or (status = Running and seed = 3)", "b"),
        ("pattern = 1:4 or status = Running and progress = 50", "bc"),
        ("optimizer.lr <= 0.05", "bc"),
        ("optimizer.lr = 5e-2", "b"),
        ("optimizer.lr = none", "É"),
        ("optimizer.lr != 0.1", "bcÉ"),
        ("optimizer.nesterov = false and schedule.kind ~ STE", "abcÉ"),
        ("duration > 1h30m", "b"),
        ("duration <= 90 s", "acÉ"),
        ("duration = 1.5 min and star", "a"),
        ("star = no", "bcÉ"),
        ("not not star", "a"),
        ("tag ~ OF or tag = 'best of'", "a"),
        ("tag != paper", "bcÉ"),
        ("started > 2026-11-01 or started = 2026-10-31", "ac"),
        ("started <= 2026-11-02", "ac"),
        ("title ~ été and note ~ \"say \\\"and\"", "É"),
        ('title !~ "(1)" AND parent = A', "b"),
        ('"optimizer.lr" ≥ .1', "a"),
        ("optimizer.width = 3", "error"),
    ],
)  # fmt: skip
def test_a_filter_means_what_it_says(text: str, expected: str) -> None:
    try:
        found = "".join(FRAME.runs[row].folder.name[0] for row in filter_rows(text, FRAME))
    except FilterError:
        found = "error"
    assert found == expected


@pytest.mark.parametrize(
    ("text", "word", "suggestion", "message"),
    [
        ("acuracy > 97", "acuracy", "accuracy", "did you mean 'accuracy'"),
        ("star and lr < 3", "lr", "optimizer.lr", "did you mean"),
        ("accuracy ~ 97", "~", "=", "cannot be compared with ~"),
        ("accuracy > high", "high", "", "needs per cent like 97.5, not 'high'"),
        ("duration > '2 weeks'", "'2 weeks'", "", "1h30m"),
        ("star = maybe", "maybe", "", "yes or no"),
        ("optimizer.lr < x", "x", "", "a number like 0.1"),
        ("accuracy 97", "97", "", "an operator between 'accuracy' and this"),
        ("star status = failed", "status", "", "operator"),
        ("seed = 3 status = failed", "status", "", "'and' or 'or'"),
        ("(star or (star)", "(", "", "not closed"),
        ("star)", ")", "", "closes nothing"),
        ("tag = 'paper", "'", "", "quotation mark"),
        ("tag = = 3", "=", "", "must follow '='"),
        ("and star", "and", "", "name of a column"),
        ("star and", "", "", "ends too early"),
        ("seed >", "", "", "add a value"),
    ],
)
def test_an_error_points_at_the_word(text: str, word: str, suggestion: str, message: str) -> None:
    with pytest.raises(FilterError, match=message) as caught:
        filter_rows(text, FRAME)
    error = caught.value
    assert text[error.start : error.start + error.length] == word
    assert error.suggestion == suggestion


WORDS = [
    "accuracy", "tag", "star", "optimizer.lr", "nothing", "n:m", "and", "or", "not", "has",
    "missing", "(", ")", "=", "<", "~", "!", "!=", "'", '"', "\\", "97", "2h", "%", "2:4", " ",
    "\n", "\0", "\u202e",
]  # fmt: skip


@given(st.lists(st.sampled_from(WORDS) | st.text(max_size=3), max_size=12), st.integers(-2, 40))
def test_no_text_raises_anything_else(words: list[str], cursor: int) -> None:
    text = " ".join(words)
    completion = complete(text, cursor, FRAME)
    assert 0 <= completion.start <= completion.end <= len(text)
    try:
        filter_rows(text, FRAME)
    except FilterError as error:
        assert 0 <= error.start <= error.start + error.length <= len(text)
        assert str(error).endswith((".", "?"))


@pytest.mark.parametrize("text", ["(" * 10**5, "not " * 10**5, "(star or " * 10**4])
def test_deep_nesting_is_refused(text: str) -> None:
    with pytest.raises(FilterError, match="nested"):
        filter_rows(text, FRAME)


def test_long_chains_are_not_nested() -> None:
    text = " or ".join(["seed = 1", "star"] * 5000)
    assert len(filter_rows(text, FRAME)) == 1


NAMES = st.sampled_from(["star", "and", "x y", "", 'a"\\', "n:m", "é\n"]) | st.text(max_size=5)
LEAVES = st.builds(Comparison, NAMES, st.sampled_from(OPERATORS), NAMES) | st.builds(
    Presence, NAMES, st.booleans()
)


def joined(parts: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    several = st.lists(parts, min_size=2, max_size=3).map(tuple)
    either: st.SearchStrategy[Node] = st.builds(Joined, st.sampled_from(["and", "or"]), several)
    return either | st.builds(Not, parts)


@given(st.none() | st.recursive(LEAVES, joined, max_leaves=8))
@example(Comparison("star", "=", "≤"))
def test_a_filter_that_is_written_is_read_back(node: Node | None) -> None:
    assert parse(format_filter(node)) == node


@pytest.mark.parametrize(
    ("before", "after", "expected", "replaced"),
    [
        ("", "", "title", ""),
        ("opt", "imizer = 3", "optimizer.lr", "optimizer"),
        ("star and not acc", "", "accuracy", "acc"),
        ("accuracy ", "", "<=", ""),
        ("tag ", "", "!~", ""),
        ("status = ", "", "finished", ""),
        ("status = run", "", "running", "run"),
        ("tag = 'best", "", '"best of"', "'best"),
        ("accuracy > ", "", "97.6", ""),
        ("seed = 3 ", "", "and", ""),
        ("(has par", "ent)", "parent", "parent"),
    ],
)
def test_what_can_follow_is_offered(before: str, after: str, expected: str, replaced: str) -> None:
    completion = complete(before + after, len(before), FRAME)
    assert expected in completion.candidates
    assert (before + after)[completion.start : completion.end] == replaced
