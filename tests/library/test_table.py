"""Tables show what differs, sort anything, fold seeds, and are written with every character."""

from __future__ import annotations

import csv
import io
import json
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbc.library.columns import RESULTS, Frame, Rows
from lbc.library.filter_syntax import FilterError
from lbc.library.formats import (
    as_json,
    format_csv,
    format_latex,
    format_markdown,
    format_plain,
    list_groups,
    list_runs,
)
from lbc.library.run_summary import RunSummary, summarize_run
from lbc.library.table import (
    describe_groups,
    fold_seeds,
    parse_sort,
    pivot,
    relevant_columns,
    sort_rows,
)
from lbc.runs.annotations import Annotations
from tests.library.run_folders import write_run


def run(name: str, /, seed: int = 0, accuracy: float | None = None, **fields: Any) -> RunSummary:
    settings = {"optimizer.lr": fields.pop("lr", 0.1), "model.width": 32, "seed": seed}
    settings |= fields.pop("settings", {})
    plain: dict[str, Any] = {"method": "lbc", "pattern": "2:4", "status": "finished"} | fields
    return RunSummary(Path(name), seed=seed, accuracy=accuracy, parameters=settings, **plain)


SEEDS = Frame([
    run("a", 0, 0.97), run("b", 1, 0.98), run("c", 2, 0.5, status="running"),
    run("d", 0, 0.9, lr=0.5), run("e", 0, 0.8, pattern="1:16", method="sr-ste"),
    run("f", 3, None, status="failed", lr=0.5),
])  # fmt: skip


def rows(frame: Frame) -> Rows:
    return np.arange(len(frame.runs))


def test_what_differs_is_shown_first_and_what_is_alike_is_hidden() -> None:
    shown = relevant_columns(SEEDS, rows(SEEDS))
    assert shown == (
        "title", "status", "method", "n:m", "seed", "optimizer.lr", "accuracy", "duration",
    )  # fmt: skip
    assert relevant_columns(SEEDS, np.array([0, 1])) == (
        "title", "status", "seed", "accuracy", "duration",
    )  # fmt: skip
    assert relevant_columns(SEEDS, np.array([], dtype=np.int64)) == ("title", "status")
    assert set(shown) <= {*RESULTS, *SEEDS.settings}


def test_settings_that_only_some_runs_have_differ() -> None:
    frame = Frame([run("a"), run("b", settings={"model.depth": 3})])
    assert frame.differing_settings == ("model.depth",)
    many = {f"layers.l{number}": number for number in range(500)}
    bad = RunSummary(Path("c"), "unreadable", problem="It is damaged.")
    frame = Frame([run("a", settings=many), run("b", settings=many | {"layers.l7": 8}), bad])
    assert relevant_columns(frame, rows(frame)) == (
        "title", "status", "layers.l7", "duration", "problem",
    )  # fmt: skip
    assert frame.differing_settings == ("layers.l7",)


def test_a_run_that_cannot_be_read_has_a_reason_and_no_numbers(tmp_path: Path) -> None:
    for name in ("empty", "bare", "newer"):
        write_run(tmp_path / name)
    (tmp_path / "empty" / "run.json").write_text("")
    (tmp_path / "bare" / "experiment.yaml").unlink()
    (tmp_path / "newer" / "experiment.yaml").write_text("version: 2")
    reasons = "run.json is not what", "It holds no run: it needs", "experiment.yaml"
    for name, reason in zip(("empty", "bare", "newer"), reasons, strict=True):
        frame = Frame([summarize_run(tmp_path / name)])
        (said,) = frame.values("problem")
        assert isinstance(said, str) and said.startswith(reason), said
        assert str(tmp_path) not in said
        assert str(tmp_path) in frame.runs[0].problem  # where nothing else names the folder
        assert frame.values("duration") == frame.values("epoch") == [None]
        assert "0.0 s" not in format_plain(list_runs(frame, rows(frame), ("title", "duration")))


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("accuracy", "edafbc"),
        ("accuracy asc", "edafbc"),
        ("-accuracy", "cbfade"),
        ("method, title desc", "efdcba"),
        ("optimizer.lr", "abcdef"),
    ],
)
def test_sorting_is_stable_with_missing_values_last(keys: str, expected: str) -> None:
    frame = Frame([
        run("a", accuracy=0.5, lr=1), run("b", accuracy=0.9, lr=2), run("c", accuracy=0.95, lr=10),
        run("d", accuracy=0.4, lr="run 9"), run("e", accuracy=0.1, lr="run 10", method="asp"),
        run("f", accuracy=0.8, lr="x"),
    ])  # fmt: skip
    order = sort_rows(frame, rows(frame), parse_sort(keys, frame))
    assert "".join(frame.runs[row].folder.name for row in order) == expected


def test_missing_values_are_last_in_both_orders() -> None:
    for keys in ("accuracy", "-accuracy"):
        order = sort_rows(SEEDS, rows(SEEDS), parse_sort(keys, SEEDS))
        assert order[-1] == 5
    with pytest.raises(FilterError, match="did you mean 'accuracy'"):
        parse_sort("status, acuracy", SEEDS)


@given(st.lists(st.integers() | st.text() | st.floats(allow_nan=True) | st.booleans(), min_size=1))
def test_any_mixture_of_values_is_sorted(values: list[Any]) -> None:
    frame = Frame([run(str(at), lr=value) for at, value in enumerate(values)])
    order = sort_rows(frame, rows(frame), [("optimizer.lr", False)])
    assert sorted(order) == list(range(len(values)))
    cells = [frame.values("optimizer.lr")[row] for row in order]
    kinds = [2 if cell is None else isinstance(cell, str) for cell in cells]
    assert kinds == sorted(kinds)
    numbers = [cell for cell in cells if isinstance(cell, int | float)]
    assert numbers == sorted(numbers)


def test_seeds_are_folded_into_mean_and_deviation() -> None:
    groups = fold_seeds(SEEDS, rows(SEEDS))
    assert [group.tolist() for group in groups] == [[0, 1, 2], [3, 5], [4]]
    found = describe_groups(SEEDS, groups, "accuracy")
    assert found.mean == pytest.approx([97.5, 90, 80])
    assert found.deviation[0] == pytest.approx(1 / sqrt(2)) and np.isnan(found.deviation[1:]).all()
    assert found.count.tolist() == [2, 1, 1] and found.best() == 0
    table = list_groups(SEEDS, groups, ["n:m", "seed", "accuracy"])
    assert table.headings == ("n", "n:m", "seed", "accuracy %")
    assert table.rows == (
        ("3", "2:4", "", "97.50 ± 0.71"), ("2", "2:4", "", "90.00"), ("1", "1:16", "0", "80.00"),
    )  # fmt: skip
    table = list_groups(SEEDS, groups, ["accuracy"], baseline=1)
    assert [cell for _, cell in table.rows] == ["97.50 ± 0.71", "90.00 (−7.50)", "80.00 (−17.50)"]
    assert describe_groups(SEEDS, groups, "best").best() is None


def test_a_baseline_gives_signed_differences() -> None:
    table = list_runs(SEEDS, rows(SEEDS), ["title", "accuracy"], baseline=0)
    assert table.rows == (
        ("a", "97.00"), ("b", "98.00 (+1.00)"), ("c", "50.00 (−47.00)"), ("d", "90.00 (−7.00)"),
        ("e", "80.00 (−17.00)"), ("f", ""),
    )  # fmt: skip


def test_a_pivot_has_every_pair_of_values() -> None:
    table = pivot(SEEDS, rows(SEEDS), "method", "pattern", "accuracy")
    assert table.names == ("method", "n:m", "accuracy")
    assert (table.down, table.across) == (("lbc", "sr-ste"), ("1:16", "2:4"))
    text = format_latex(table, SEEDS)
    assert r"lbc &  & 95.00 $\pm$ 4.36 \\" in text
    assert r"sr{-}ste & 80.00 &  \\" in text


NASTY = "a|b\\_{x}$&#%~^<é‮\n\r\t`\"' [𝄞]-- \udc80"


def test_any_character_survives_every_format() -> None:
    frame = Frame([
        RunSummary(Path("x"), "finished", method=NASTY, annotations=Annotations(NASTY, (NASTY,)))
    ])  # fmt: skip
    table = list_runs(frame, rows(frame), ["title", "tag", "method"])
    assert format_plain(table).count("\n") == 2
    lines = format_markdown(table).splitlines()
    assert len(lines) == 3 and r"a\|b\\\_\{x\}\$\&" in lines[2]
    read = list(csv.reader(io.StringIO(format_csv(frame, rows(frame), ["title", "tag"]), "")))
    assert read == [["title", "tag"], [NASTY, NASTY]]
    text = format_latex(pivot(frame, rows(frame), "method", "title", "accuracy"), frame)
    assert r"\textbackslash{}\_\{x\}\$\&\#\%\textasciitilde{}" in text
    assert "\u202e" not in text and "{[}𝄞{]}{-}{-}" in text
    document = json.loads(json.dumps(as_json(frame.runs[0])))
    assert document["method"] == document["title"] == NASTY and document["tags"] == [NASTY]


def test_json_has_no_number_that_json_lacks() -> None:
    document = as_json(run("a", accuracy=float("nan"), accuracies=(float("inf"), 0.5)))
    assert document["accuracy"] is None and document["accuracies"] == [None, 0.5]
    assert document["parameters"] == {"optimizer.lr": 0.1, "model.width": 32, "seed": 0}


def test_a_table_without_runs_is_written_too() -> None:
    frame = Frame([])
    table = list_runs(frame, rows(frame), relevant_columns(frame, rows(frame)))
    assert format_plain(table) == "title  status\n"
    assert fold_seeds(frame, rows(frame)) == ()
    assert "tabular" in format_latex(pivot(frame, rows(frame), "method", "n:m", "accuracy"), frame)
