"""A comparison as tables: one family of tests, cost beside accuracy, agreement of masks."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from math import isnan
from pathlib import Path

import pytest

from lbc.comparison.statistics import holm_p, paired_p
from lbc.comparison.trials import MethodChoice, Trial, plan_trials
from lbc.config import dump_experiment, parse_experiment
from lbc.library.comparison_report import (
    explain_results,
    list_results,
    summarise_trials,
    write_report,
)
from lbc.library.formats import TextTable, format_booktabs
from lbc.library.method_agreement import compare_methods
from lbc.runs.metrics import EPOCH_COLUMNS
from lbc.runs.records import RecordWriter
from lbc.sparsity.pattern import Pattern
from tests.comparison.recorded_runs import record_search

PATTERNS = [Pattern(2, 4), Pattern(1, 4)]
METHODS = [MethodChoice(name) for name in ("dense", "lbc", "asp")]
ACCURACIES = {"dense": (0.9, 0.91, 0.92), "lbc": (0.8, 0.82, 0.81), "asp": (0.7, 0.75, 0.74)}


def finish(trials: Iterable[Trial]) -> None:
    for trial in trials:
        if trial.method != "dense":
            record_search(trial.folder, trial.method, seed=trial.seed + len(trial.method) % 2)
        trial.folder.mkdir(parents=True, exist_ok=True)
        (trial.folder / "experiment.yaml").write_text(dump_experiment(trial.experiment))
        RecordWriter(trial.folder / "epochs.records", EPOCH_COLUMNS).close()
        accuracy = ACCURACIES[trial.method][trial.seed]
        state = {"status": "finished", "accuracy": accuracy, "seconds": 4.0, "steps": 100}
        (trial.folder / "run.json").write_text(json.dumps(state | {"peak_memory": 250_000_000}))


@pytest.fixture
def trials(tmp_path: Path) -> tuple[Trial, ...]:
    trials = plan_trials(parse_experiment({}), METHODS, PATTERNS, 3, tmp_path)
    finish(trials)
    return trials


def test_every_pattern_has_its_baseline_and_all_tests_are_one_family(
    trials: tuple[Trial, ...],
) -> None:
    rows = summarise_trials(trials, "lbc")
    assert [(str(row.pattern), row.method) for row in rows] == [
        (pattern, method) for pattern in ("2:4", "1:4") for method in ("dense", "lbc", "asp")
    ]
    tested = [row.result for row in rows if row.method != "lbc"]
    assert [row.p for row in tested] == [paired_p([1, 1, 1], [0, 0, 0])] * 4
    assert [row.holm for row in tested] == list(holm_p([row.p for row in tested])) == [1.0] * 4
    assert all(isnan(row.result.p) for row in rows if row.method == "lbc")
    table = list_results(rows, "lbc")
    assert table.rows[0] == (
        "2:4", "dense", "91.00 ± 1.00", "3", "+10.00", "0.250", "1.000", "25.0", "250",
    )  # fmt: skip
    assert table.rows[1][4:7] == ("", "", "") and table.rows[2][4] == "−8.00"
    explained = explain_results(rows, "lbc")
    assert "With 3 pairs the smallest possible p is 0.25" in explained
    assert "p corrected for the 4 tests of this table" in explained


def test_masks_are_compared_between_methods_and_with_chance(trials: tuple[Trial, ...]) -> None:
    agreements = compare_methods(trials)
    assert [one.pattern for one in agreements] == PATTERNS
    for one in agreements:
        assert one.methods == ("lbc", "asp") and not one.problems
        assert ((one.chance > 0.5) & (one.chance < 0.6)).all()  # 2:4 in most layers
        kappa = (one.alike - one.chance) / (1 - one.chance)
        assert one.kappa == pytest.approx(kappa)
        assert one.kappa[0, 1] == one.kappa[1, 0]
    heading, *names = agreements[0].table.headings
    assert heading == "κ (alike %; by chance 51.9), 2:4" and names == ["lbc", "asp"]
    (trials[1].folder / "scores.history").write_bytes(b"no history")
    assert len(compare_methods(trials)[0].problems) == 1


def test_the_report_has_every_format(trials: tuple[Trial, ...], tmp_path: Path) -> None:
    rows, agreements = summarise_trials(trials, "lbc"), compare_methods(trials)
    written = write_report(tmp_path, trials, rows, agreements, "lbc")
    assert [path.suffix for path in written] == [".md", ".tex", ".csv", ".png"]
    markdown, latex, table, plot = written
    assert "| 2:4 | dense | 91.00 ± 1.00 | 3 |" in markdown.read_text()
    assert "| asp |" in markdown.read_text().partition("κ")[2]
    text = latex.read_text()
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 3
    assert all(line.isascii() or line.startswith("%") for line in text.split("\n"))
    lines = list(csv.DictReader(io.StringIO(table.read_text())))
    assert len(lines) == len(trials) == 15
    assert lines[0]["accuracy"] == "0.9" and lines[0]["steps_per_second"] == "25.0"
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_booktabs_escapes_what_latex_would_act_on() -> None:
    table = TextTable(
        ("N:M", "method", "%"), (False, False, True),
        (("2:4", "sr-ste_x & co", "9.0 ± 1"), ("2:4", "a\\b", "−2"), ("1:4", "#{$}", "")),
    )  # fmt: skip
    assert format_booktabs(table).splitlines() == [
        r"\begin{tabular}{llr}",
        r"\toprule",
        r"N:M & method & \% \\",
        r"\midrule",
        r"2:4 & sr{-}ste\_x \& co & 9.0 $\pm$ 1 \\",
        r"2:4 & a\textbackslash{}b & $-$2 \\",
        r"\midrule",
        r"1:4 & \#\{\$\} &  \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]
    plain = TextTable(("a", "b"), (False, True), (("x", "1"), ("y", "2")))
    assert format_booktabs(plain).count(r"\midrule") == 1
